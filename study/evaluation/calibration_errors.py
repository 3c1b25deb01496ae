"""How far confidence is from accuracy, by binning, ranking or smoothing: float64, for many samples at once.

`confidence` is (N,), in [0, 1]. `correct` is (N,) or (R, N), whether each prediction is right. `weights` is (N,) or
(R, N), how many copies of each image the sample holds, N in all; by default one of each. An estimate in [0, 1] is a
scalar, or (R,) if `correct` or `weights` has R rows. All are biased upwards: on a finite sample, even a perfectly
calibrated model scores above 0 (`study.evaluation.bootstrap.null_band` says by how much).
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.fft import dct
from scipy.sparse import csr_array

from study.evaluation.ranked_sums import sum_of_first

GRID = 1024  # steps of the grid on [0, 1] in `smooth_ece`; the narrowest kernel is one step wide
BISECTIONS = 20  # that find the kernel's width to 1e-6
ONCE = np.ones(1)  # the weight of images that each count once


def confidence_errors(bins: int) -> dict[str, Callable[..., np.ndarray]]:
    """Estimators of E|accuracy - confidence| by name, as functions of confidence, correct and weights."""
    return {
        "ece": partial(binned_ece, bins=bins),
        "ece_equal_mass": partial(equal_mass_ece, bins=bins),
        "smece": smooth_ece,
    }


def bin_index(confidence: np.ndarray, bins: int) -> np.ndarray:
    """The index of the bin (lo, hi], of `bins` equally wide ones, for each confidence, of any shape. 0 is in the first.

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
    sums: np.ndarray = gaps @ _membership(bin_index(confidence, bins), bins)
    error: np.ndarray = np.abs(sums).sum(axis=-1) / len(confidence)
    return error


def mce(confidence: np.ndarray, correct: np.ndarray, weights: np.ndarray = ONCE, *, bins: int) -> np.ndarray:
    """Maximum calibration error: the largest |accuracy - confidence| over the occupied bins of `binned_ece`.

    Naeini et al. 2015. A single image in a bin can decide it.

    >>> float(mce(np.array([0.75, 0.75, 0.25]), np.array([True, False, True]), bins=2))
    0.75
    """
    member = _membership(bin_index(confidence, bins), bins)
    gaps = np.abs((weights * (confidence - correct)) @ member)
    counts = np.broadcast_to(weights, (*weights.shape[:-1], len(confidence))) @ member
    error: np.ndarray = np.divide(gaps, counts, out=np.zeros_like(gaps), where=counts > 0).max(axis=-1)
    return error


def equal_mass_ece(confidence: np.ndarray, correct: np.ndarray, weights: np.ndarray = ONCE, *, bins: int) -> np.ndarray:
    """ECE over bins of equally many images; if N is not divisible, the first bins hold one more.

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
    error: np.ndarray = np.abs(np.diff(sums)).sum(axis=-1) / images
    return error


def smooth_ece(confidence: np.ndarray, correct: np.ndarray, weights: np.ndarray = ONCE) -> np.ndarray:
    """smECE, which needs no bins: the integral over [0, 1] of |residuals smoothed by a reflected Gaussian kernel|.

    The kernel's width equals the error measured with it, or one step of the grid if the error is smaller. A wider
    kernel never raises the error, so this width is unique. Cosines diagonalise reflected smoothing, which then costs
    one multiplication per frequency. Błasiok and Nakkiran 2024, "Smooth ECE".

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
        area: np.ndarray = (smoothed.sum(axis=-1) - smoothed[..., [0, -1]].mean(axis=-1)) / GRID  # trapezoids
        return area

    narrow, wide = np.full(masses.shape[:-1], 1 / GRID), np.ones(masses.shape[:-1])
    for _ in range(BISECTIONS):
        middle = (narrow + wide) / 2
        too_wide = error(middle) < middle
        narrow, wide = np.where(too_wide, narrow, middle), np.where(too_wide, middle, wide)
    return error(wide)


def classwise_ece(
    probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray = ONCE, *, bins: int
) -> np.ndarray:
    """The mean over classes of the ECE of "is it this class?". probabilities: (N, C).

    Every probability counts, not only the largest. Kull et al. 2019; Nixon et al. 2019, "static calibration error".

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
    error: np.ndarray = np.abs(weights @ gap_in_cell).sum(axis=-1) / (images * classes)
    return error


def _membership(cell: np.ndarray, cells: int) -> csr_array:
    """(N, cells): 1 where an image is in a cell. A product with it sums over each cell's images, in a fixed order."""
    return csr_array((np.ones(len(cell)), cell, np.arange(len(cell) + 1)), shape=(len(cell), cells))


def _on_grid(confidence: np.ndarray) -> csr_array:
    """(N, GRID + 1): each confidence shared linearly between its two neighbours on the grid."""
    place = confidence * GRID
    below = np.minimum(place.astype(int), GRID - 1)
    share = place - below
    entries = np.stack([1 - share, share], axis=1).ravel(), np.stack([below, below + 1], axis=1).ravel()
    return csr_array((*entries, np.arange(0, 2 * len(confidence) + 1, 2)), shape=(len(confidence), GRID + 1))
