"""Draw samples of the splits and of the augmentation.

Reads data/subset. Writes plots/data: samples.png, augmentation.png and, of a folder of pictures,
class_distribution.png: the other datasets have about as many images of each class.
Params: data.dataset, data.seed, train.common.augment.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from study.data.splits import class_names, load_split
from study.drawing.image_grid import augmentation_grid, class_distribution, sample_grid
from study.features.augment import Augment, augmented
from study.pipeline.files import whole_folder
from study.pipeline.params import Seed, parse
from study.pipeline.stage import main
from study.sources.stratified_draw import Dataset

AUGMENTED = 8  # images whose augmented views are shown


def run(params: dict[str, Any], root: Path) -> None:
    block, dataset = parse(params, "train.common.augment", Augment), parse(params, "data.dataset", Dataset)
    generator = torch.Generator().manual_seed(parse(params, "data.seed", Seed))
    classes = class_names(root)
    images, labels = load_split(root, "train")

    def augment(images: np.ndarray) -> np.ndarray:
        return augmented(torch.from_numpy(images), block, generator).numpy()

    with whole_folder(root / "plots/data") as folder:
        sample_grid(images, labels, classes).save(folder / "samples.png")
        shown = images[:AUGMENTED], labels[:AUGMENTED]
        augmentation_grid(*shown, classes, augment).save(folder / "augmentation.png")
        if dataset == "folder":
            counted = {"train": labels, "val": load_split(root, "val")[1], "test": load_split(root, "test")[1]}
            class_distribution(counted, classes).savefig(folder / "class_distribution.png")


if __name__ == "__main__":
    main(run)
