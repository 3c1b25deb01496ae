"""Run the frozen backbone once over train and val, so that no depth has to repeat it.

Reads data/subset (train.npz, val.npz, classes.json) and data/backbone. Writes data/features (the trunk's activations
and pooled features; train has several augmented views) and results/training/features.json (seconds).
Params: train.common.image_size, train.common.views, train.common.augment, train.common.seed.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np

from study.data.splits import class_names, load_split
from study.features.augment import Augment
from study.features.frozen_features import Views, training_views, write_features
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
    no_head = Head(hidden=[], dropout=0.0)
    model = pretrained(root / "data/backbone/weights.safetensors", no_head, class_names(root), image_size)

    start = time.perf_counter()
    train, _ = load_split(root, "train")
    val, _ = load_split(root, "val")
    drawn = training_views(train, views, augment, seed)
    with whole_folder(root / "data/features") as folder:
        write_features(model, folder, "train", drawn, (views, len(train)), np.float16)
        write_features(model, folder, "val", iter([val]), (1, len(val)), np.float32)
    seconds = time.perf_counter() - start
    write_json(root / "results/training/features.json", {"seconds": seconds})
    print(f"frozen features of {views} views in {seconds:.0f} s")


if __name__ == "__main__":
    main(run)
