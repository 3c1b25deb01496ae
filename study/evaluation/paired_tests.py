"""Tests of whether two classifiers differ, on the same images."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import binomtest


def mcnemar(first_correct: np.ndarray, second_correct: np.ndarray) -> dict[str, int | float]:
    """The exact two-sided McNemar test of equal accuracy, on the images that exactly one of two classifiers gets right.

    first_correct, second_correct: (N,), bool, of the same images. Returns only_first and only_second, the numbers of
    those images, and p_value, the chance of a split at least this uneven if both are equally likely; 1 if there are no
    such images. McNemar 1947.

    >>> mcnemar(np.array([True, True, True]), np.array([True, False, False]))
    {'only_first': 2, 'only_second': 0, 'p_value': 0.5}
    """
    only_first = int(np.sum(first_correct & ~second_correct))
    only_second = int(np.sum(second_correct & ~first_correct))
    disagreements = only_first + only_second
    p_value = float(binomtest(only_first, disagreements).pvalue) if disagreements else 1.0
    return {"only_first": only_first, "only_second": only_second, "p_value": p_value}


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
