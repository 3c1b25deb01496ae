"""Draw stratified train, val and test splits.

Reads data/raw. Writes data/subset: train.npz, selection.npz and calibration.npz (the halves of val) and test.npz, each
with the indices drawn, and dataset.json.
Params: data.
"""

from pathlib import Path
from typing import Any

from study.data.splits import load_raw, save_facts, save_split
from study.pipeline.files import whole_folder
from study.pipeline.params import parse
from study.pipeline.stage import main
from study.sources.stratified_draw import Data, draw


def run(params: dict[str, Any], root: Path) -> None:
    raw = load_raw(root)
    with whole_folder(root / "data/subset") as folder:
        for name, split in draw(raw, parse(params, "data", Data)).items():
            save_split(split, folder, name)
        save_facts(raw.facts, folder)


if __name__ == "__main__":
    main(run)
