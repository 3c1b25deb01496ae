"""The corrupted test images under data/corrupted/.

images.npy         uint8 (conditions, N, H, W, 3); condition 0 is the clean images
labels.npy         int64 (N,)
conditions.json    the conditions, as in study.corruption.conditions
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from study.corruption.conditions import Condition
from study.pipeline.files import read_json


class Corrupted(NamedTuple):
    """images: uint8 (conditions, N, H, W, 3), on disk until read; labels: int64 (N,)."""

    conditions: list[Condition]
    images: np.ndarray
    labels: np.ndarray


def load_corrupted(root: Path) -> Corrupted:
    """What the stage `corrupt` wrote."""
    folder = root / "data/corrupted"
    images = np.load(folder / "images.npy", mmap_mode="c")
    return Corrupted(read_json(folder / "conditions.json"), images, np.load(folder / "labels.npy"))
