"""How far confidence is from accuracy, by binning, ranking or smoothing: float64, for many samples at once.

`confidence` is (N,), in [0, 1]; `correct` is (N,) or (R, N), whether each prediction is right; `weights` is (N,) or
(R, N), how many copies of each image the sample holds, N altogether, and one of each by default. An estimate is a
scalar, or (R,) where `correct` or `weights` has R rows, in [0, 1]. All are biased upwards: none is 0 for a perfectly
calibrated model on a finite sample (`stages.common.resampling.null_band` says how far above).
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.fft import dct
from scipy.sparse import csr_array

from stages.common.ranking import sum_of_first

GRID = 1024  # steps of the grid on [0, 1] that `smooth_ece` works on: the narrowest kernel is one step wide
BISECTIONS = 20  # that find its width to 1e-6
ONCE = np.ones(1)  # the weight of every image that counts once


def confidence_errors(bins: int) -> dict[str, Callable[..., np.ndarray]]:
    """The estimators of E|accuracy - confidence| by name, each a function of confidence, correct and weights."""
    return {
        "ece": partial(binned_ece, bins=bins),
        "ece_equal_mass": partial(equal_mass_ece, bins=bins),
        "smece": smooth_ece,
    }


def bin_index(confidence: np.ndarray, bins: int) -> np.ndarray:
    """Which of `bins` bins (lo, hi] of equal width holds each confidence; 0 is in the first bin. Any shape.

    >>> bin_index(np.array([0, 0.5, 0.75, 1]), bins=2)
    array([0, 0, 1, 1])
    """
    return np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence, side="left")


def binned_ece(confidence: np.ndarray, correct: np.ndarray, weights: np.ndarray = ONCE, *, bins: int) -> np.ndarray:
    """Expected calibration error: mean |accuracy - confidence| over bins of equal width, weighted by their images.

    Naeini et al. 2015; Guo et al. 2017.

    >>> float(binned_ece(np.array([0.75, 0.75]), np.array([True, False]), bins=15))
    0.25
    """
    gaps = weights * (confidence - correct)
    return np.abs(gaps @ _membership(bin_index(confidence, bins), bins)).sum(axis=-1) / len(confidence)


def mce(confidence: np.ndarray, correct: np.ndarray, weights: np.ndarray = ONCE, *, bins: int) -> np.ndarray:
    """Maximum calibration error: the largest |accuracy - confidence| of the bins of `binned_ece` that are occupied.

    Naeini et al. 2015. One image alone in a bin can decide it.

    >>> float(mce(np.array([0.75, 0.75, 0.25]), np.array([True, False, True]), bins=2))
    0.75
    """
    member = _membership(bin_index(confidence, bins), bins)
    gaps = np.abs((weights * (confidence - correct)) @ member)
    counts = np.broadcast_to(weights, (*weights.shape[:-1], len(confidence))) @ member
    return np.divide(gaps, counts, out=np.zeros_like(gaps), where=counts > 0).max(axis=-1)


def equal_mass_ece(confidence: np.ndarray, correct: np.ndarray, weights: np.ndarray = ONCE, *, bins: int) -> np.ndarray:
    """ECE over bins that hold equally many images each, or one more in the first bins where N is not divisible.

    Nguyen and O'Connor 2015; Nixon et al. 2019.

    >>> float(equal_mass_ece(np.array([0.75, 0.5, 1.0, 1.0]), np.array([True, False, True, True]), bins=2))
    0.0625
    """
    images = len(confidence)
    sizes = np.full(bins, images // bins)
    sizes[: images % bins] += 1
    edges = np.append(0, sizes.cumsum())
    weights = np.broadcast_to(weights, (*weights.shape[:-1], images))
    sums = sum_of_first(confidence, confidence - correct, weights, edges)
    return np.abs(np.diff(sums)).sum(axis=-1) / images


def smooth_ece(confidence: np.ndarray, correct: np.ndarray, weights: np.ndarray = ONCE) -> np.ndarray:
    """smECE, which needs no bins: the integral over [0, 1] of |residuals smoothed by a reflected Gaussian kernel|.

    The kernel's width is the one that equals the error measured with it (or a step of the grid, when the error is
    smaller than that); widening a kernel never raises the error, so there is one. The cosines diagonalise reflected
    smoothing: it costs one multiplication per frequency. Błasiok and Nakkiran 2024, "Smooth ECE".

    >>> float(smooth_ece(np.array([0.75, 0.25]), np.array([True, False])).round(3))
    0.198
    """
    residuals = weights * (confidence - correct) / len(confidence)
    masses = residuals @ _on_grid(confidence)
    masses[..., [0, -1]] *= 2
    coefficients = dct(masses, type=1) / 2
    decay = -0.5 * np.square(np.pi * np.arange(GRID + 1))

    def error(width: np.ndarray) -> np.ndarray:
        smoothed = np.abs(dct(coefficients * np.exp(decay * np.square(width)[..., None]), type=1))
        return (smoothed.sum(axis=-1) - smoothed[..., [0, -1]].mean(axis=-1)) / GRID  # trapezoids

    narrow, wide = np.full(masses.shape[:-1], 1 / GRID), np.ones(masses.shape[:-1])
    for _ in range(BISECTIONS):
        middle = (narrow + wide) / 2
        too_wide = error(middle) < middle
        narrow, wide = np.where(too_wide, narrow, middle), np.where(too_wide, middle, wide)
    return error(wide)


def classwise_ece(
    probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray = ONCE, *, bins: int
) -> np.ndarray:
    """The mean over classes of the ECE of that class's probability, (N, C), as that of "is it this class?".

    Every probability counts, not the largest alone. Kull et al. 2019; the static calibration error of Nixon et al.
    2019.

    >>> float(classwise_ece(np.array([[0.75, 0.25], [0.75, 0.25]]), np.array([0, 0]), bins=2))
    0.25
    """
    images, classes = probabilities.shape
    gaps = probabilities.copy()
    gaps[np.arange(images), labels] -= 1
    cells = bin_index(probabilities, bins) + bins * np.arange(classes)
    starts = np.arange(0, gaps.size + 1, classes)
    gap_in_cell = csr_array((gaps.ravel(), cells.ravel(), starts), shape=(images, bins * classes))
    weights = np.broadcast_to(weights, (*weights.shape[:-1], images))
    return np.abs(weights @ gap_in_cell).sum(axis=-1) / (images * classes)


def _membership(cell: np.ndarray, cells: int) -> csr_array:
    """(N, cells): 1 where an image is in a cell. Its product sums over the images of each cell, always in one order."""
    return csr_array((np.ones(len(cell)), cell, np.arange(len(cell) + 1)), shape=(len(cell), cells))


def _on_grid(confidence: np.ndarray) -> csr_array:
    """(N, GRID + 1): each confidence shared between its two neighbours on the grid, the nearer one taking more."""
    place = confidence * GRID
    below = np.minimum(place.astype(int), GRID - 1)
    share = place - below
    entries = np.stack([1 - share, share], axis=1).ravel(), np.stack([below, below + 1], axis=1).ravel()
    return csr_array((*entries, np.arange(0, 2 * len(confidence) + 1, 2)), shape=(len(confidence), GRID + 1))
