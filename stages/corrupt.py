"""Corrupt test images, once for all variants.

Reads data/subset/test.npz and, if corrupt_eval.cifar10c_dir is set, the official CIFAR-10-C files. Writes
data/corrupted (described in study.corruption.corrupted_set) and plots/corruptions.png.
Params: corrupt_eval.
"""

from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from study.corruption.catalogue import CorruptEval, corrupt
from study.corruption.conditions import Condition, conditions
from study.corruption.official_files import OFFICIAL_GROUPS, official_images
from study.data.sampling import draw_rows
from study.data.splits import load_split
from study.drawing.corruption_sheet import corruption_sheet
from study.pipeline.files import whole_folder, write_json
from study.pipeline.params import parse
from study.pipeline.stage import main

SHOWN = 2  # images on the contact sheet


def run(params: dict[str, Any], root: Path) -> None:
    block = parse(params, "corrupt_eval", CorruptEval)
    test = load_split(root, "test")
    rows = draw_rows(test.labels, block.images, block.seed, "corrupt_eval.images")
    clean: np.ndarray = test.images[rows]
    labels, indices = test.labels[rows], test.indices[rows]

    def under(condition: Condition) -> np.ndarray:
        name, severity = condition["corruption"], condition["severity"]
        if severity == 0:
            return clean
        if block.cifar10c_dir is not None and name in OFFICIAL_GROUPS:
            return official_images(root / block.cifar10c_dir, name, severity, indices, labels)
        return corrupt(clean, name, severity, block.seed)

    planned = conditions(block.corruptions, official=block.cifar10c_dir is not None)
    shape = len(planned), len(clean)
    with whole_folder(root / "data/corrupted") as folder:
        images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (*shape, *clean.shape[1:]))
        for place, condition in enumerate(tqdm(planned, desc="corrupt", disable=None)):
            images[place] = under(condition)
        images.flush()
        np.save(folder / "labels.npy", labels)
        write_json(folder / "conditions.json", planned)
        sheet = corruption_sheet(planned, images[:, :SHOWN])
    (root / "plots").mkdir(exist_ok=True)
    sheet.save(root / "plots/corruptions.png")
    source = "CIFAR-10-C's files" if block.cifar10c_dir is not None else "our re-synthesis"
    print(f"{len(clean)} test images under {len(planned) - 1} conditions, from {source}")


if __name__ == "__main__":
    main(run)
