"""Draw the train, val and test images, stratified, and picture them.

Reads:  data/raw/
Writes: data/subset/ (train.npz, val.npz, test.npz with the indices drawn, classes.json),
        plots/data/ (samples.png, augmentation.png, class_distribution.png), results/class_counts.csv
Params: data, train.common.augment
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from stages.common.augment import Augment, augmented
from stages.common.datasets import Data, load_raw, save_classes, save_split
from stages.common.folders import whole_folder
from stages.common.params import parse
from stages.common.pictures import augmented_views, class_counts, class_distribution, sample_grid
from stages.common.splits import draw
from stages.common.stage import main
from stages.common.tables import write_table


def run(params: dict[str, Any], root: Path) -> None:
    data = parse(params, "data", Data)
    block = parse(params, "train.common.augment", Augment)
    raw = load_raw(root)

    splits = draw(raw, data)
    labels = {name: split.labels for name, split in splits.items()}
    generator = torch.Generator().manual_seed(data.seed)

    def augment(images: np.ndarray) -> np.ndarray:
        return augmented(torch.from_numpy(images), block, generator).numpy()

    with whole_folder(root / "data/subset") as folder:
        for name, split in splits.items():
            save_split(split, folder, name)
        save_classes(raw.classes, folder)
    with whole_folder(root / "plots/data") as folder:
        images = splits["train"].images
        sample_grid(images, labels["train"], raw.classes).save(folder / "samples.png")
        augmented_views(images[:8], labels["train"][:8], raw.classes, augment).save(folder / "augmentation.png")
        class_distribution(labels, raw.classes).savefig(folder / "class_distribution.png")
    write_table(root / "results/class_counts.csv", class_counts(labels, raw.classes))


if __name__ == "__main__":
    main(run)
