"""Draw samples of the splits and of the augmentation.

Reads data/subset. Writes plots/data: samples.png, augmentation.png and, of a folder of pictures,
class_distribution.png: the other datasets have about as many images of each class.
Params: data.dataset, data.seed, train.common.augment.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from study.data.splits import load_facts, load_split
from study.drawing.image_grid import augmentation_grid, class_distribution, sample_grid
from study.features.augment import Augment, augmented
from study.pipeline.files import whole_folder
from study.pipeline.params import Seed, parse
from study.pipeline.stage import main
from study.sources.datasets import Dataset

AUGMENTED = 8  # images whose augmented views are shown


def run(params: dict[str, Any], root: Path) -> None:
    block, dataset = parse(params, "train.common.augment", Augment), parse(params, "data.dataset", Dataset)
    generator = torch.Generator().manual_seed(parse(params, "data.seed", Seed))
    facts = load_facts(root)
    train = load_split(root, "train")

    def augment(images: np.ndarray) -> np.ndarray:
        return augmented(torch.from_numpy(images), block.of(facts), generator).numpy()

    with whole_folder(root / "plots/data") as folder:
        sample_grid(*train.examples, facts.classes).save(folder / "samples.png")
        shown = train.images[:AUGMENTED], train.labels[:AUGMENTED]
        augmentation_grid(*shown, facts.classes, augment).save(folder / "augmentation.png")
        if dataset == "folder":
            val = np.concatenate([load_split(root, half).labels for half in ("selection", "calibration")])
            counted = {"train": train.labels, "val": val, "test": load_split(root, "test").labels}
            class_distribution(counted, facts.classes).savefig(folder / "class_distribution.png")


if __name__ == "__main__":
    main(run)
