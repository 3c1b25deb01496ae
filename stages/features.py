"""Run the frozen backbone once over every image, so that no depth has to repeat it.

Reads data/subset and data/backbone. Writes data/features (the trunk's activations and pooled features, for train of
several augmented views) and results/training/features.json (seconds).
Params: train.common.image_size, train.common.views, train.common.augment, train.common.seed.
"""

import json
import time
from pathlib import Path

import numpy as np

from stages.common.augment import Augment
from stages.common.datasets import class_names, load_split
from stages.common.device import make_deterministic
from stages.common.features import Views, augmented_views, write_features
from stages.common.model import Head, ImageSize, pretrained
from stages.common.params import Seed, parse
from stages.common.stage import main


def run(params: dict, root: Path) -> None:
    image_size = parse(params, "train.common.image_size", ImageSize)
    views = parse(params, "train.common.views", Views)
    augment = parse(params, "train.common.augment", Augment)
    seed = parse(params, "train.common.seed", Seed)
    make_deterministic(seed)
    no_head = Head(hidden=[], dropout=0.0)
    model = pretrained(root / "data/backbone/weights.safetensors", no_head, class_names(root), image_size)
    folder = root / "data/features"
    folder.mkdir(parents=True, exist_ok=True)

    start = time.perf_counter()
    images, _ = load_split(root, "train")
    write_features(
        model, folder, "train", augmented_views(images, views, augment, seed), (views, len(images)), np.float16
    )
    for split in ("val", "test"):
        images, _ = load_split(root, split)
        write_features(model, folder, split, iter([images]), (1, len(images)), np.float32)
    seconds = time.perf_counter() - start

    timing = root / "results/training/features.json"
    timing.parent.mkdir(parents=True, exist_ok=True)
    timing.write_text(json.dumps({"seconds": seconds}, indent=2) + "\n")
    print(f"frozen features of {views} views in {seconds:.0f} s")


if __name__ == "__main__":
    main(run)
