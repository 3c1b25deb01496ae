"""The corrupted test images under data/corrupted/, and what the frozen backbone yields for them.

images.npy             uint8 (conditions, N, H, W, 3); condition 0 is the clean images
trunk_corrupted.npy    float16 (conditions, N, K, h, w)
pooled_corrupted.npy   float16 (conditions, N, F)
labels.npy             int64 (N,)
conditions.json        what each is, as stages.common.conditions has it
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

FROZEN = {"fc": "pooled_corrupted", "layer4": "trunk_corrupted"}  # what a variant takes whose trunk is the backbone's


class Corrupted(NamedTuple):
    """inputs: (conditions, N, ...), on disk until read, of the kind that the variant's trained part takes."""

    conditions: list[dict[str, str | int]]
    inputs: np.ndarray
    labels: np.ndarray


def load_corrupted(root: Path, variant: str) -> Corrupted:
    """What stage `corrupt` left for this variant."""
    folder = root / "data/corrupted"
    return Corrupted(
        json.loads((folder / "conditions.json").read_text()),
        np.load(folder / f"{FROZEN.get(variant, 'images')}.npy", mmap_mode="c"),
        np.load(folder / "labels.npy"),
    )
