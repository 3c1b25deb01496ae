"""dvc.yaml against the code: what a stage declares is what it imports, and a change re-runs what it touches."""

import ast
import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
YAML12 = YAML(typ="safe", pure=True)
STAGES = YAML12.load(ROOT / "dvc.yaml")["stages"]
PARAMS = YAML12.load(ROOT / "params.yaml")
FINE_TUNED = ("fc", "layer4", "full")
VARIANTS = (*FINE_TUNED, "scratch")
PUBLISHING = {"gradcam", "export", "report"}


def each(stage, variants=VARIANTS):
    return {f"{stage}@{variant}" for variant in variants}


def evaluated(variants):
    return {"compare", "report"}.union(*(each(name, variants) for name in ("calibrate", "corrupt_eval", "adversarial")))


def of(*variants):
    """What a change of these trainings re-runs while "full" is the published variant."""
    published = PUBLISHING if "full" in variants else set()
    return {f"train_{variant}" for variant in variants} | evaluated(variants) | published


SAMPLED = {"subsample", "features", "corrupt"} | of(*VARIANTS)
CORRUPTED = {"corrupt"} | each("corrupt_eval") | {"compare", "report"}


# Every leaf block of params.yaml, a new value for it, and the stages that run besides check_params.
RECOMPUTES = {
    "freeze=layer4": PUBLISHING,
    "data.dataset=digits": {"download"} | SAMPLED,
    "data.path=photos": {"download"} | SAMPLED,
    "data.side=32": {"download"} | SAMPLED,
    "data.seed=1": SAMPLED,
    "backbone.name=resnet50": {"download", "features"} | of(*FINE_TUNED) | CORRUPTED,
    "backbone.weights=none": {"download", "features"} | of(*FINE_TUNED) | CORRUPTED,
    "backbone.head.dropout=0.1": of(*FINE_TUNED),
    "train.common.image_size=96": {"features"} | of(*FINE_TUNED) | CORRUPTED,
    "train.common.views=5": {"features"} | of(*FINE_TUNED),
    "train.common.augment.cutout=true": {"subsample", "features"} | of(*FINE_TUNED),
    "train.common.seed=1": {"features"} | of(*FINE_TUNED),
    "train.common.batch_size=64": of(*FINE_TUNED),
    "train.common.probe.lr=0.5": of(*FINE_TUNED),
    "train.fc.lr=0.5": of("fc"),
    "train.layer4.lr=0.5": of("layer4"),
    "train.full.lr=0.5": of("full"),
    "train.full.augment.mixup=0.2": of("full"),
    "train.scratch.lr=0.5": of("scratch"),
    "calibrate.bins=10": evaluated(VARIANTS) | PUBLISHING,
    "corrupt_eval.seed=1": CORRUPTED,
    "adversarial.steps=20": each("adversarial") | {"report"},
    "gradcam.images=30": {"gradcam", "report"},
}


def module_of(stage):
    return stage["cmd"].split()[2]


def import_closure(path):
    """Every module of ours that `path` imports, itself included, as paths relative to the root."""
    found, waiting = set(), [path]
    while waiting:
        current = waiting.pop()
        if current in found:
            continue
        found.add(current)
        for node in ast.walk(ast.parse(current.read_text())):
            names = []
            if isinstance(node, ast.ImportFrom):
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            candidates = (ROOT / (name.replace(".", "/") + ".py") for name in names if name.startswith("stages"))
            waiting += [candidate for candidate in candidates if candidate.exists()]
    return {str(module.relative_to(ROOT)) for module in found}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_declares_exactly_the_modules_that_it_imports(name):
    script = ROOT / (module_of(STAGES[name]).replace(".", "/") + ".py")
    declared = {dep for dep in STAGES[name]["deps"] if dep.endswith(".py")}
    assert declared == import_closure(script)


@pytest.mark.parametrize("name", ["calibrate", "compare", "report"])
def test_what_only_reads_tables_never_imports_torch(name):
    code = f"import sys, {module_of(STAGES[name])}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


FAKE_PYTHON = '''\
"""Stands in for every stage: each output holds a digest of what the stage declares to read."""
import hashlib, json, sys
from pathlib import Path

module, item = sys.argv[2], (sys.argv[3:] or [""])[0]
params = json.loads(Path("params.yaml").read_text())
stages = json.loads(Path("stages.json").read_text())
name, stage = next((n, s) for n, s in stages.items() if s["cmd"].split()[2] == module)

def paths(key):
    for entry in stage.get(key) or []:
        path = entry if isinstance(entry, str) else next(iter(entry))
        named = {"${item.variant}": item, "${freeze}": params["freeze"], "${data.path}": params["data"]["path"]}
        for pattern, value in named.items():
            path = path.replace(pattern, value)
        yield path

def digest(path):
    files = sorted(f for f in Path(path).rglob("*") if f.is_file()) if Path(path).is_dir() else [Path(path)]
    return hashlib.md5(b"".join(f.read_bytes() for f in files)).hexdigest()

def value(key):
    found = params
    for part in key.split("."):
        found = found[part]
    return found

read = [digest(path) for path in paths("deps")]
# What an output does not depend on, though its stage reads it: tests of these stages hold that to the truth.
regardless = {"data/raw": "backbone", "data/subset": "train.common.augment"}
for path in [*paths("outs"), *paths("metrics"), *paths("plots")]:
    keys = [key for key in stage.get("params") or [] if isinstance(key, str)]
    used = [key for key in keys if not key.startswith(regardless.get(path, "nothing"))]
    content = "constant" if name == "check_params" else repr(read + [repr(value(key)) for key in used])
    path = Path(path)
    if not path.suffix:
        path = path / "classes.json"
        for split in ("train", "val", "test"):
            path.parent.mkdir(parents=True, exist_ok=True)
            (path.parent / f"{split}.npz").write_text(split + content)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
with open("ran.txt", "a") as log:
    print(name + ("@" + item if item else ""), file=log)
'''


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory):
    """The real dvc.yaml and params.yaml in a repository whose stages take no time."""
    folder = tmp_path_factory.mktemp("toy")
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, folder)
    (folder / "params.yaml").write_text(json.dumps(PARAMS))  # JSON is YAML, and is read faster
    (folder / "stages.json").write_text(json.dumps(STAGES))
    for stage in STAGES.values():
        for dep in stage["deps"]:
            if dep.startswith(("stages/", "weights/")):
                (folder / dep).parent.mkdir(parents=True, exist_ok=True)
                (folder / dep).write_text(dep)
    for pictures in (PARAMS["data"]["path"], "photos"):
        (folder / pictures).mkdir()
        (folder / pictures / "cat.png").write_text(pictures)
    (folder / "fake.py").write_text(FAKE_PYTHON)
    (folder / "bin").mkdir()
    python = folder / "bin/python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" fake.py "$@"\n')
    python.chmod(0o755)
    dvc(folder, "init", "--no-scm", "--quiet")
    dvc(folder, "config", "core.analytics", "false")
    dvc(folder, "repro", "--quiet")
    return folder


@pytest.fixture
def toy(reproduced, tmp_path):
    return shutil.copytree(reproduced, tmp_path / "toy", symlinks=True)


def dvc(folder, *arguments):
    path = os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])
    subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=folder,
        env=os.environ | {"PATH": path},
        check=True,
        capture_output=True,
    )


def ran(folder):
    """The stages that `dvc repro` runs."""
    (folder / "ran.txt").unlink(missing_ok=True)
    dvc(folder, "repro", "--quiet")
    return set((folder / "ran.txt").read_text().split()) if (folder / "ran.txt").exists() else set()


def test_a_second_repro_runs_nothing(toy):
    assert ran(toy) == set()


@pytest.mark.parametrize("change", RECOMPUTES)
def test_a_changed_parameter_re_runs_exactly_what_it_touches(toy, change):
    key, value = change.split("=")
    params = copy.deepcopy(PARAMS)
    block = params
    *parents, leaf = key.split(".")
    for part in parents:
        block = block[part]
    assert leaf in block
    block[leaf] = YAML12.load(value)
    (toy / "params.yaml").write_text(json.dumps(params))
    assert ran(toy) == RECOMPUTES[change] | {"check_params"}


def recomputes_table():
    """README's table. A matrix stage stands for all its variants where none is named."""

    def told(name, stages):
        variants = [variant for variant in VARIANTS if f"{name}@{variant}" in stages]
        return name if len(variants) in (0, len(VARIANTS)) else f"{name} of {'/'.join(variants)}"

    def names(stages):
        return ", ".join(told(name, stages) for name in STAGES if {name, *each(name)} & stages)

    rows = [f"| `{change.split('=')[0]}` | {names(stages)} |" for change, stages in RECOMPUTES.items()]
    return "\n".join(["| parameter | what runs again |", "| --- | --- |", *rows])


def test_readme_says_what_each_parameter_recomputes():
    assert recomputes_table() in (ROOT / "README.md").read_text()


def test_every_block_of_params_yaml_is_in_the_table_of_what_it_recomputes():
    blocks = {key for key in PARAMS if key != "train"} | {f"train.{key}" for key in PARAMS["train"]}
    covered = {change.split("=")[0] for change in RECOMPUTES}
    assert {block for block in blocks if not any((name + ".").startswith(block + ".") for name in covered)} == set()
