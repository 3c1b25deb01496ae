"""The corrupted test images under data/corrupted/, and the frozen backbone's features of them.

images.npy             uint8 (conditions, N, H, W, 3); condition 0 is the clean images
trunk_corrupted.npy    float16 (conditions, N, K, h, w), or (2 * conditions, N, K, h, w): with `mirror`, each
                       condition's features are followed by those of the mirror images
pooled_corrupted.npy   float16 (conditions, N, F), or (2 * conditions, N, F)
labels.npy             int64 (N,)
conditions.json        the conditions, as in study.corruption.conditions
"""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from study.pipeline.files import read_json

# The variants with a frozen part, by what was trained in them; each takes the features of its frozen part.
FROZEN: dict[str, Literal["fc", "layer4"]] = {"fc": "fc", "layer4": "layer4"}
INPUTS = {"fc": "pooled_corrupted", "layer4": "trunk_corrupted"}


class Corrupted(NamedTuple):
    """inputs: (conditions, ways, N, ...), what the variant's trained part takes, on disk until read.

    ways: 2 when the features of the mirror images are there too, else 1; images have 1.
    """

    conditions: list[dict[str, str | int]]
    inputs: np.ndarray
    labels: np.ndarray


def load_corrupted_images(root: Path) -> Corrupted:
    """The images themselves, whatever the variant: inputs is uint8 (conditions, N, H, W, 3)."""
    corrupted = load_corrupted(root, "full")
    return corrupted._replace(inputs=corrupted.inputs[:, 0])


def load_corrupted(root: Path, variant: str) -> Corrupted:
    """What the stage `corrupt` wrote for this variant."""
    folder = root / "data/corrupted"
    conditions = read_json(folder / "conditions.json")
    inputs = np.load(folder / f"{INPUTS.get(variant, 'images')}.npy", mmap_mode="c")
    inputs = inputs.reshape(len(conditions), -1, *inputs.shape[1:])
    return Corrupted(conditions, inputs, np.load(folder / "labels.npy"))
