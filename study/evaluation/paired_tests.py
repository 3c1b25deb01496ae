"""Whether two classifiers differ, and by how much, on the same images."""

from collections.abc import Sequence
from math import atan2, pi, sqrt

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binomtest, norm


def mcnemar(first_correct: np.ndarray, second_correct: np.ndarray) -> dict[str, int | float]:
    """The exact two-sided McNemar test of equal accuracy, on the images that exactly one of two classifiers gets right.

    first_correct, second_correct: (N,), bool, of the same images. Returns only_first and only_second, the numbers of
    those images, and p_value, the chance of a split at least this uneven if both are equally likely; 1 if there are no
    such images. McNemar 1947.

    >>> mcnemar(np.array([True, True, True]), np.array([True, False, False]))
    {'only_first': 2, 'only_second': 0, 'p_value': 0.5}
    """
    only_first, only_second = _right_alone(first_correct, second_correct)
    disagreements = only_first + only_second
    p_value = float(binomtest(only_first, disagreements).pvalue) if disagreements else 1.0
    return {"only_first": only_first, "only_second": only_second, "p_value": p_value}


def paired_difference(first_correct: np.ndarray, second_correct: np.ndarray, level: float) -> dict[str, float]:
    """The second accuracy minus the first, with its score interval at `level`: difference, low and high, in [-1, 1].

    first_correct, second_correct: (N,), bool, of the same N images. With b and c the numbers of images that only the
    second and only the first gets right, the interval holds every difference d for which

        |b - c - N d| <= z sqrt(N (2 q + d (1 - d)))

    where z is the normal quantile of `level` and q the likeliest share of c if the difference is d: the larger root of
    2 N q^2 + ((2 N - b + c) d - b - c) q - c d (1 - d) = 0. It holds 0 wherever the exact McNemar test has p = 1, and
    has a width even if the two are right on the same images. Tango 1998.

    >>> right = np.ones(96, dtype=bool)
    >>> {name: round(value, 4) for name, value in paired_difference(right, right, level=0.95).items()}
    {'difference': 0.0, 'low': -0.0385, 'high': 0.0385}
    """
    only_first, only_second = _right_alone(first_correct, second_correct)
    images, z = len(first_correct), float(norm.ppf((1 + level) / 2))
    return {
        "difference": (only_second - only_first) / images,
        "low": -_highest_difference(only_first, only_second, images, z),
        "high": _highest_difference(only_second, only_first, images, z),
    }


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for multiple testing, in the given order: reject those at most alpha. Holm 1979.

    The chance of any false rejection is at most alpha, however the tests depend on each other.

    >>> holm([0.25, 0.0625, 0.5])
    [0.5, 0.1875, 0.5]
    """
    order = np.argsort(p_values)
    steps = np.asarray(p_values)[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted.tolist()


def _right_alone(first_correct: np.ndarray, second_correct: np.ndarray) -> tuple[int, int]:
    return int(np.sum(first_correct & ~second_correct)), int(np.sum(second_correct & ~first_correct))


def _highest_difference(gained: int, lost: int, images: int, z: float) -> float:
    """The upper end of the score interval of (gained - lost) / images."""
    estimate = (gained - lost) / images
    if estimate == 1:
        return 1.0

    def beyond(d: float) -> float:
        """Above 0 where `d` is too far above the estimate. The angle is defined where both of its parts are 0."""
        linear = (2 * images - gained + lost) * d - gained - lost
        q = (sqrt(max(linear**2 + 8 * images * lost * d * (1 - d), 0)) - linear) / (4 * images)
        variance = images * max(2 * q + d * (1 - d), 0)
        return atan2(images * d - (gained - lost), z * sqrt(variance)) - pi / 4

    return float(brentq(beyond, estimate, 1))
