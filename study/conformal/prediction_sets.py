"""Split conformal prediction: sets of classes that hold the right one with a wanted probability.

`probabilities` is (N, C), rows that sum to one; a score is low where a class fits. A threshold from `threshold` and
images exchangeable with those that it was taken from give the guarantee, whatever the network: the right class's score
is below it with at least the wanted probability. Vovk et al. 2005; Angelopoulos and Bates 2023, "Conformal Prediction:
A Gentle Introduction".
"""

from math import ceil, inf
from typing import Annotated

import numpy as np
from pydantic import Field
from scipy.stats import betabinom

from study.pipeline.params import Block, Seed

LEVEL = 0.99  # of `coverage_interval`
Share = Annotated[float, Field(gt=0, lt=1)]
Shares = Annotated[list[Share], Field(min_length=1, max_length=10)]


class Conformal(Block):
    """`conformal`: what prediction sets and abstention promise."""

    coverages: Shares  # of prediction sets: the wanted probabilities that a set holds the right class
    error_rates: Shares  # among the answers that are given, where unsure ones are withheld
    seed: Seed  # of the randomised scores


def lac_scores(probabilities: np.ndarray) -> np.ndarray:
    """One minus each class's probability, (N, C): the smallest sets on average. Sadinle et al. 2019.

    >>> lac_scores(np.array([[0.75, 0.25]]))
    array([[0.25, 0.75]])
    """
    scores: np.ndarray = 1.0 - probabilities
    return scores


def aps_scores(probabilities: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """The probability of all classes before this one, the most probable first, and a share of its own: (N, C).

    uniform: (N,), drawn from [0, 1]; the share is one minus it. With draws, coverage is exact; with zeros it is at
    least the wanted one. Sets grow with an image's difficulty. Romano et al. 2020.

    >>> aps_scores(np.array([[0.75, 0.25]]), np.zeros(1))
    array([[0.75, 1.  ]])
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ranked = np.take_along_axis(probabilities, order, axis=1)
    cumulated = ranked.cumsum(axis=1) - uniform[:, None] * ranked
    scores: np.ndarray = np.empty_like(cumulated)
    np.put_along_axis(scores, order, cumulated, axis=1)
    return scores


def threshold(scores: np.ndarray, coverage: float) -> float:
    """The largest score that a set's classes may have. scores: (n,), of the right classes of n calibration images.

    It is the k-th smallest with k = ceil((n + 1) * coverage), or infinite, which gives sets of all classes, if n is
    too few for that.

    >>> threshold(np.array([0.1, 0.4, 0.2]), coverage=0.5), threshold(np.array([0.1, 0.4, 0.2]), coverage=0.9)
    (0.2, inf)
    """
    place = _place(len(scores), coverage)
    return float(np.sort(scores)[place - 1]) if place <= len(scores) else inf


def class_thresholds(scores: np.ndarray, labels: np.ndarray, classes: int, coverage: float) -> np.ndarray:
    """A threshold for each class, float64 (classes,), from the calibration images of that class: infinite if too few.

    A class is then in the sets of its own images with the wanted probability, rather than on average over the classes:
    Mondrian conformal prediction, Vovk et al. 2005; Sadinle et al. 2019. labels: (n,), of the calibration images.

    >>> class_thresholds(np.array([0.1, 0.3, 0.2]), np.array([0, 0, 1]), 2, coverage=0.6)
    array([0.3, inf])
    """
    return np.array([threshold(scores[labels == label], coverage) for label in range(classes)])


def coverage_interval(calibration: int, coverage: float, images: int) -> tuple[float, float]:
    """Where the share of `images` test images whose set holds the right class lies with probability LEVEL.

    Exact for scores without ties: over draws of `calibration` and test images the number is beta-binomial. (1, 1) when
    the threshold is infinite. Vovk 2012.
    """
    place = _place(calibration, coverage)
    if place > calibration:
        return 1.0, 1.0
    ends = betabinom.ppf([(1 - LEVEL) / 2, (1 + LEVEL) / 2], images, place, calibration + 1 - place)
    low, high = (float(end) / images for end in ends)
    return low, high


def set_measures(sets: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Coverage, mean size, and the shares of sets of one class and of none. sets: bool (N, C); labels: (N,).

    >>> set_measures(np.array([[True, False], [True, True]]), np.array([1, 1]))
    {'coverage': 0.5, 'size': 1.5, 'singletons': 0.5, 'empty': 0.0}
    """
    sizes = sets.sum(axis=1)
    return {
        "coverage": float(sets[np.arange(len(labels)), labels].mean()),
        "size": float(sizes.mean()),
        "singletons": float((sizes == 1).mean()),
        "empty": float((sizes == 0).mean()),
    }


def class_coverage(sets: np.ndarray, labels: np.ndarray, classes: list[str]) -> dict[str, float | None]:
    """The coverage among the images of each class, which split conformal prediction does not promise; None without any.

    >>> class_coverage(np.array([[True, False], [True, True]]), np.array([1, 1]), ["cat", "dog"])
    {'cat': None, 'dog': 0.5}
    """
    covered = sets[np.arange(len(labels)), labels]
    of_class = {name: covered[labels == label] for label, name in enumerate(classes)}
    return {name: float(found.mean()) if len(found) else None for name, found in of_class.items()}


def _place(calibration: int, coverage: float) -> int:
    return ceil(round((calibration + 1) * coverage, 9))  # rounded, because 0.9 * 10 may be a little more than 9
