"""Stands in for every stage of a copy of dvc.yaml: each output holds a digest of what it depends on.

`python stand_in.py -m MODULE [ITEM]` takes the place of `python -m MODULE [ITEM]`. Its folder also holds stages.json,
the stages of dvc.yaml, and params.yaml as JSON. Every call adds a line to ran.txt.
"""

import hashlib
import json
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

OF_A_FOLDER = ("data.path", "data.side")  # parameters of no other dataset

# What an output does not depend on although its stage declares to read it: parameters, or a dependency.
# tests/stages hold every line to the truth. Code always counts.
UNTOUCHED_BY = {
    "data/params.ok": ("*",),
    "data/raw": (*OF_A_FOLDER, "${data.path}"),
    "data/backbone": ("data/raw", "backbone.path", "${backbone.path}"),
    "data/subset/train.npz": (*OF_A_FOLDER, "data.test"),
    "data/subset/selection.npz": (*OF_A_FOLDER, "data.test"),
    "data/subset/calibration.npz": (*OF_A_FOLDER, "data.test"),
    "data/subset/test.npz": (*OF_A_FOLDER, "data.train", "data.val"),
    "data/subset/dataset.json": ("data.*",),
    "results/temperature/${item.variant}.json": ("calibrate.*", "data/subset/train.npz"),
}
READ_BY_FILE = {"data/subset": ("train.npz", "selection.npz", "calibration.npz", "test.npz", "dataset.json")}


def untouched_by(output: str, params: dict[str, Any]) -> tuple[str, ...]:
    if output == "data/backbone" and params["backbone"]["weights"] == "none":  # rescaled on the images
        return ()
    if output.startswith(("data/raw", "data/subset")) and params["data"]["dataset"] == "folder":  # of one pool
        return ()
    return UNTOUCHED_BY.get(output, ())


def stand_in(root: Path, module: str, item: str = "") -> str:
    """Write the outputs of the stage that calls `module`; return its name, with the item."""
    params = json.loads((root / "params.yaml").read_text())
    stages = json.loads((root / "stages.json").read_text())
    name, stage = next((name, stage) for name, stage in stages.items() if stage["cmd"].split()[2] == module)

    def resolved(path: str) -> Path:
        values = {"${item.variant}": item, "${freeze}": params["freeze"]}
        values |= {f"${{{block}.path}}": params[block]["path"] for block in ("backbone", "data")}
        for pattern, value in values.items():
            path = path.replace(pattern, value)
        return root / path

    read = {dep: digest(resolved(dep)) for dep in stage["deps"]}
    for key in stage.get("params", ()):
        read |= leaves(params, key)
    outs = [entry if isinstance(entry, str) else next(iter(entry)) for entry in stage["outs"]]
    for output in (f"{out}/{file}" if file else out for out in outs for file in READ_BY_FILE.get(out, [""])):
        ignored = untouched_by(output, params)
        counts = {key: value for key, value in read.items() if not any(fnmatch(key, pattern) for pattern in ignored)}
        path = resolved(output) if Path(output).suffix else resolved(output) / "everything"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(output + json.dumps(counts))
    return f"{name}@{item}" if item else name


def digest(path: Path) -> str:
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    content = (str(file.relative_to(path)).encode() + file.read_bytes() for file in files)
    return hashlib.md5(b"".join(content)).hexdigest()


def leaves(params: dict[str, Any], key: str) -> dict[str, Any]:
    """The parameters at or below `key`, "train.fc", say, by their whole names."""
    found: Any = params
    for part in key.split("."):
        found = found[part]
    if not isinstance(found, dict):
        return {key: found}
    return {name: value for part in found for name, value in leaves(params, f"{key}.{part}").items()}


if __name__ == "__main__":
    ran = stand_in(Path(), *sys.argv[2:])
    with Path("ran.txt").open("a") as log:
        print(ran, file=log)
