"""Corrupt test images and run the frozen backbone once over them, so that no variant has to repeat it.

Reads data/subset (test.npz, classes.json), data/backbone and, if corrupt_eval.cifar10c_dir is set, the official
CIFAR-10-C files. Writes data/corrupted (described in study.corruption.corrupted_set) and plots/corruptions.png.
Params: corrupt_eval, mirror, train.common.image_size.
"""

from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from study.corruption.catalogue import CorruptEval, corrupt
from study.corruption.conditions import Condition, conditions
from study.corruption.official_files import OFFICIAL_GROUPS, official_images
from study.data.sampling import draw_rows
from study.data.splits import Split, class_names
from study.drawing.corruption_sheet import corruption_sheet
from study.features.frozen_features import with_mirror_images, write_features
from study.networks.classifier import Head, ImageSize, pretrained
from study.pipeline.files import whole_folder, write_json
from study.pipeline.params import parse
from study.pipeline.stage import main

SHOWN = 2  # images on the contact sheet


def run(params: dict[str, Any], root: Path) -> None:
    block = parse(params, "corrupt_eval", CorruptEval)
    image_size = parse(params, "train.common.image_size", ImageSize)
    mirror = parse(params, "mirror", bool)
    with np.load(root / "data/subset/test.npz") as arrays:
        test = Split(**arrays)
    rows = draw_rows(test.labels, block.images, block.seed, "corrupt_eval.images")
    clean: np.ndarray = test.images[rows]
    labels, indices = test.labels[rows], test.indices[rows]
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
        seen = with_mirror_images(images) if mirror else iter(images)
        write_features(model, folder, "corrupted", seen, (len(planned) * (1 + mirror), len(clean)), np.float16)
        np.save(folder / "labels.npy", labels)
        write_json(folder / "conditions.json", planned)
        sheet = corruption_sheet(planned, images[:, :SHOWN])
    (root / "plots").mkdir(exist_ok=True)
    sheet.save(root / "plots/corruptions.png")
    source = "CIFAR-10-C's files" if block.cifar10c_dir is not None else "our re-synthesis"
    print(f"{len(clean)} test images under {len(planned) - 1} conditions, from {source}")


if __name__ == "__main__":
    main(run)
