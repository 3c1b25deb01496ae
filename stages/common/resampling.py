"""How much of a figure is chance: bootstrap intervals, paired differences, and the null band of calibration errors.

The models and their temperatures are held fixed: all of it is about which test images were drawn. How many draws are
made in memory at once changes none of them.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

LEVEL = 0.95  # of intervals; the null band's upper end is this quantile
CELLS = 1_000_000  # resamples x images held in memory at once: 8 MB an array

# (N,) -> scalar or (R, N) -> (R,): a figure of the sample that holds so many copies of each of N images, N altogether.
Measure = Callable[[np.ndarray], np.ndarray]


class Resampled(NamedTuple):
    """A figure, and its values (resamples,) on samples drawn with replacement from the same images."""

    estimate: float
    draws: np.ndarray


def bootstrap(measures: Mapping[str, Measure], images: int, resamples: int, seed: int) -> dict[str, Resampled]:
    """Each measure of `images` images, and of as many drawn with replacement, `resamples` times. Efron 1979.

    The same images, resamples and seed give the same samples, so that the draws of two models are paired.
    """

    def sample(rng: np.random.Generator) -> np.ndarray:
        return np.bincount(rng.integers(images, size=images), minlength=images).astype(np.float64)

    draws = {name: [] for name in measures}
    for weights in _batches(sample, images, resamples, seed):
        for name, measure in measures.items():
            draws[name].append(measure(weights))
    whole = np.ones(images)
    return {name: Resampled(float(measures[name](whole)), np.concatenate(parts)) for name, parts in draws.items()}


def interval(figure: Resampled) -> dict[str, float]:
    """The interval at LEVEL, low and high: the quantiles of the draws, moved so that their mean is the estimate.

    It covers what test sets of this size show on average; for a mean that is the population's value. A calibration
    error is biased upwards, most of all where the model is calibrated, and resampling adds a bias of its own: without
    the move, the interval of the change that scaling makes would often miss its own estimate. The bias that remains,
    the estimate's, is what `null_band` shows. A maximum resamples badly: an interval at 95 % of MCE covers 80 to 92 %.
    """
    centred = figure.draws - figure.draws.mean() + figure.estimate
    low, high = np.quantile(centred, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"low": float(low), "high": float(high)}


def difference(first: Resampled, second: Resampled) -> dict[str, float]:
    """second - first, and its interval at LEVEL, from the same samples: difference, low and high."""
    paired = Resampled(second.estimate - first.estimate, second.draws - first.draws)
    return {"difference": paired.estimate, **interval(paired)}


def null_band(
    confidence: np.ndarray, errors: Mapping[str, Callable[..., np.ndarray]], resamples: int, seed: int
) -> dict[str, dict[str, float]]:
    """What a perfectly calibrated model with these confidences (N,) would show, by name: mean and upper.

    errors: functions of confidence (N,) and correct (R, N), as `stages.common.calibration_errors` has them. Such a
    model's label is its prediction with the probability `confidence`: whether it is right is all that the errors ask
    of labels drawn from its probabilities. upper: the quantile at LEVEL, below which 95 % of such models stay.
    Bröcker and Smith 2007, "consistency resampling".
    """

    def sample(rng: np.random.Generator) -> np.ndarray:
        return rng.random(len(confidence)) < confidence

    draws = {name: [] for name in errors}
    for correct in _batches(sample, len(confidence), resamples, seed):
        for name, error in errors.items():
            draws[name].append(error(confidence, correct))
    return {
        name: {"mean": float(np.mean(drawn)), "upper": float(np.quantile(drawn, LEVEL))}
        for name, drawn in ((name, np.concatenate(parts)) for name, parts in draws.items())
    }


def _batches(
    sample: Callable[[np.random.Generator], np.ndarray], images: int, resamples: int, seed: int
) -> Iterator[np.ndarray]:
    """`resamples` samples (images,), as batches (R, images) of bounded size."""
    rng = np.random.default_rng(seed)
    rows = max(1, CELLS // images)
    for start in range(0, resamples, rows):
        yield np.stack([sample(rng) for _ in range(min(rows, resamples - start))])
