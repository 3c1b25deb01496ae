"""Read the authors' own CIFAR-10-C files, https://zenodo.org/records/2535967, instead of our re-synthesis.

A folder holds `<corruption>.npy`, uint8 (5 * n, 32, 32, 3), whose rows from (severity - 1) * n on are CIFAR-10's n test
images in their published order, n being 10,000, and `labels.npy` (5 * n,), the n labels five times.
"""

from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from study.corruption.catalogue import CORRUPTIONS, SEVERITIES, Group
from study.corruption.pixel_values import REFERENCE_SIDE
from study.pipeline.params import Refusal

OFFICIAL_GROUPS: dict[str, Group] = {  # the groups of the files that exist
    name: "benchmark" if name == "frost" else corruption.group
    for name, corruption in CORRUPTIONS.items()
    if corruption.group in ("benchmark", "extra") or name == "frost"
}


def official_images(folder: Path, name: str, severity: int, indices: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The test images under corruption `name`, a key of OFFICIAL_GROUPS, at `severity` 1-5: uint8 (N, 32, 32, 3).

    indices: int64 (N,), positions in CIFAR-10's test order; labels: int64 (N,), our labels of these images. Reads only
    the requested rows.
    Raises Refusal, one line, when a file is missing, has another shape or dtype, or its labels differ from ours.
    """
    images, known = _array(folder, name), _array(folder, "labels")
    side = REFERENCE_SIDE
    if images.dtype != np.uint8 or images.shape[1:] != (side, side, 3) or len(images) % len(SEVERITIES):
        raise _refusal(folder, f"{name}.npy must be uint8 (5 n, {side}, {side}, 3), got {images.dtype} {images.shape}")
    if known.shape != (len(images),):
        raise _refusal(folder, f"labels.npy must have a label for each of {len(images)} images, got {known.shape}")
    per_severity = len(images) // len(SEVERITIES)
    if indices.max() >= per_severity:
        raise _refusal(folder, f"{name}.npy has {per_severity} images a severity: none for test image {indices.max()}")
    rows = (severity - 1) * per_severity + indices
    other = np.flatnonzero(known[rows] != labels)
    if len(other):
        raise _refusal(
            folder,
            f"labels.npy calls test image {indices[other[0]]} class {known[rows[other[0]]]} and data.dataset calls it "
            f"{labels[other[0]]} ({len(other)} of {len(rows)} differ)",
        )
    chosen: np.ndarray = images[rows]
    return chosen


def _array(folder: Path, name: str) -> np.ndarray:
    try:
        return open_memmap(folder / f"{name}.npy", mode="r")
    except FileNotFoundError:
        raise _refusal(folder, f"it has no {name}.npy") from None
    except (OSError, ValueError) as fault:
        raise _refusal(folder, f"{name}.npy cannot be read ({fault})") from None


def _refusal(folder: Path, fault: str) -> Refusal:
    return Refusal(
        f"params.yaml: corrupt_eval.cifar10c_dir = {folder}: {fault}; give the folder of the unpacked CIFAR-10-C.tar, "
        "or null"
    )
