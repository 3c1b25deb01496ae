"""Labelled examples of one split."""

from typing import NamedTuple

import numpy as np


class Examples(NamedTuple):
    """inputs: (N, ...) of the kind that the trained part takes; labels: int64 (N,)."""

    inputs: np.ndarray
    labels: np.ndarray


def halves(val: Examples) -> tuple[Examples, Examples]:
    """The validation split in two: one half chooses the checkpoint, the other is kept to fit the temperature on.

    A checkpoint suits the images that chose it; a temperature fitted on those would be too low.
    """
    selection, calibration = slice(0, None, 2), slice(1, None, 2)
    return tuple(Examples(val.inputs[half], val.labels[half]) for half in (selection, calibration))
