"""Draw stratified train, val and test splits.

Reads data/raw. Writes data/subset: train.npz, val.npz and test.npz, each with the indices drawn, and classes.json.
Params: data.
"""

from pathlib import Path
from typing import Any

from study.data.splits import load_raw, save_classes, save_split
from study.pipeline.files import whole_folder
from study.pipeline.params import parse
from study.pipeline.stage import main
from study.sources.stratified_draw import Data, draw


def run(params: dict[str, Any], root: Path) -> None:
    raw = load_raw(root)
    with whole_folder(root / "data/subset") as folder:
        for name, split in draw(raw, parse(params, "data", Data)).items():
            save_split(split, folder, name)
        save_classes(raw.classes, folder)


if __name__ == "__main__":
    main(run)
