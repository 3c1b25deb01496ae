"""Abstention with a guarantee: answer only above a confidence from which on few enough answers are wrong.

Angelopoulos et al. 2021, "Learn then Test": exact binomial tests along a grid that is fixed beforehand.
"""

from typing import Any

import numpy as np
from scipy.stats import binom

FAILURE = 0.05  # the largest probability, over draws of calibration images, that the promise is broken
GRID = 1 - np.geomspace(0.0005, 0.5, 49)  # the thresholds that are tested, from the highest down
STARTS = range(0, 49, 4)  # the places in GRID where tests begin


def answering_threshold(confidence: np.ndarray, correct: np.ndarray, error_rate: float) -> float | None:
    """The lowest confidence found from which on answers are wrong at most at `error_rate`, or None.

    confidence: (N,), correct: (N,), of calibration images exchangeable with those to come. With probability at least
    1 - FAILURE over their draw, the share of wrong ones among the answers at or above the threshold is, in the
    population, at most `error_rate`. Tests walk down GRID from each of STARTS until one fails, each at FAILURE /
    len(STARTS): if answers were wrong at `error_rate`, would so few of them be? That is the upper end of a one-sided
    Clopper-Pearson interval below it. None when no threshold passes, because the network errs too often or the images
    are too few.

    >>> certain = np.linspace(0.9, 1, 1000)
    >>> answering_threshold(certain, np.ones(1000, dtype=bool), error_rate=0.01), answering_threshold(
    ...     certain[:20], np.ones(20, dtype=bool), error_rate=0.01
    ... )
    (0.5, None)
    """
    answered = confidence >= GRID[:, None]
    wrong = (answered & ~correct).sum(axis=1)
    passed = binom.cdf(wrong, answered.sum(axis=1), error_rate) <= FAILURE / len(STARTS)
    ends = [start + int(np.argmin(np.append(passed[start:], False))) for start in STARTS]  # the first to fail
    reached = [GRID[end - 1] for start, end in zip(STARTS, ends, strict=True) if end > start]
    return float(min(reached)) if reached else None


def answer_measures(confidence: np.ndarray, correct: np.ndarray, least: float | None) -> dict[str, Any]:
    """The share of images that are answered, and of wrong ones among these answers (None if there are none).

    >>> answer_measures(np.array([0.9, 0.8, 0.2]), np.array([True, False, False]), least=0.5)
    {'answered': 0.6666666666666666, 'wrong': 0.5}
    """
    answered = np.zeros(len(confidence), dtype=bool) if least is None else confidence >= least
    wrong = float(1 - correct[answered].mean()) if answered.any() else None
    return {"answered": float(answered.mean()), "wrong": wrong}
