"""Corrupt test images and run the frozen backbone once over them, so that no variant has to repeat it.

Reads data/subset (test.npz, classes.json), data/backbone and, where corrupt_eval.cifar10c_dir names their folder, the
official CIFAR-10-C files. Writes data/corrupted (stages.common.corrupted says what) and plots/corruptions.png.
Params: corrupt_eval, train.common.image_size.
"""

import json
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stages.common.conditions import Condition, conditions
from stages.common.contact_sheet import contact_sheet
from stages.common.corruption import CorruptEval, corrupt
from stages.common.datasets import Split, class_names
from stages.common.features import write_features
from stages.common.folders import whole_folder
from stages.common.model import Head, ImageSize, pretrained
from stages.common.official import OFFICIAL_GROUPS, official_images
from stages.common.params import parse
from stages.common.sample import draw_rows
from stages.common.stage import main

SHOWN = 2  # images on the contact sheet


def run(params: dict, root: Path) -> None:
    block = parse(params, "corrupt_eval", CorruptEval)
    image_size = parse(params, "train.common.image_size", ImageSize)
    with np.load(root / "data/subset/test.npz") as arrays:
        test = Split(**arrays)
    rows = draw_rows(test.labels, block.images, block.seed, "corrupt_eval.images")
    clean, labels, indices = (array[rows] for array in test)
    no_head = Head(hidden=[], dropout=0.0)
    model = pretrained(root / "data/backbone/weights.safetensors", no_head, class_names(root), image_size)

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
        write_features(model, folder, "corrupted", iter(images), shape, np.float16)
        np.save(folder / "labels.npy", labels)
        (folder / "conditions.json").write_text(json.dumps(planned, indent=2) + "\n")
        sheet = contact_sheet(planned, images[:, :SHOWN])
    (root / "plots").mkdir(exist_ok=True)
    sheet.save(root / "plots/corruptions.png")
    source = "CIFAR-10-C's files" if block.cifar10c_dir is not None else "our re-synthesis"
    print(f"{len(clean)} test images under {len(planned) - 1} conditions, from {source}")


if __name__ == "__main__":
    main(run)
