"""Run the frozen backbone once over train and selection, so that no training of a head has to repeat it.

Reads data/subset (train.npz, selection.npz, dataset.json) and data/backbone. Writes data/features (pooled features;
train has several augmented views) and results/training/features.json (seconds).
Params: train.common.image_size, train.common.views, train.common.augment, train.common.seed.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np

from study.data.splits import load_facts, load_split
from study.features.augment import Augment
from study.features.frozen_features import Views, features_path, training_views, write_pooled
from study.networks.classifier import Head, ImageSize, pretrained
from study.networks.device import make_deterministic
from study.pipeline.files import whole_folder, write_json
from study.pipeline.params import Seed, parse
from study.pipeline.stage import main


def run(params: dict[str, Any], root: Path) -> None:
    image_size = parse(params, "train.common.image_size", ImageSize)
    views = parse(params, "train.common.views", Views)
    augment = parse(params, "train.common.augment", Augment)
    seed = parse(params, "train.common.seed", Seed)
    make_deterministic(seed)
    facts = load_facts(root)
    model = pretrained(root, Head(hidden=[], dropout=0.0), facts.classes, image_size)

    start = time.perf_counter()
    train, selection = load_split(root, "train").images, load_split(root, "selection").images
    drawn = training_views(train, views, augment.of(facts), seed)
    with whole_folder(root / "data/features") as folder:
        write_pooled(model, folder / features_path(root, "train").name, drawn, (views, len(train)), np.float16)
        write_pooled(model, folder / features_path(root, "selection").name, [selection], (len(selection),), np.float32)
    seconds = time.perf_counter() - start
    write_json(root / "results/training/features.json", {"seconds": seconds})
    print(f"frozen features of {views} views in {seconds:.0f} s")


if __name__ == "__main__":
    main(run)
