"""The corrupted test images under data/corrupted/, and what the frozen backbone yields for them.

images.npy             uint8 (conditions, N, 32, 32, 3); condition 0 is the clean images
layer3_corrupted.npy   float16 (conditions, N, 256, S/16, S/16)
pooled_corrupted.npy   float16 (conditions, N, 512)
labels.npy             int64 (N,)
conditions.json        what each is, as stages.common.conditions has it
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stages.common.variants import Variant

INPUTS: dict[Variant, str] = {"fc": "pooled_corrupted", "layer4": "layer3_corrupted", "full": "images"}


class Corrupted(NamedTuple):
    """inputs: (conditions, N, ...), on disk until read, of the kind that the variant's trained part takes."""

    conditions: list[dict[str, str | int]]
    inputs: np.ndarray
    labels: np.ndarray


def load_corrupted(root: Path, variant: Variant) -> Corrupted:
    """What stage `corrupt` left for this variant."""
    folder = root / "data/corrupted"
    return Corrupted(
        json.loads((folder / "conditions.json").read_text()),
        np.load(folder / f"{INPUTS[variant]}.npy", mmap_mode="c"),
        np.load(folder / "labels.npy"),
    )
