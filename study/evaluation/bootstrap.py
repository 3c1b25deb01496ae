"""Sampling error: bootstrap intervals, paired differences, and the null band of calibration errors.

Models and temperatures are held fixed: only the draw of test images varies. The batch size in memory does not change
the draws.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

LEVEL = 0.95  # of intervals; also the quantile of a null band's upper end
CELLS = 1_000_000  # resamples x images held in memory at once: 8 MB an array

# (N,) -> scalar or (R, N) -> (R,): a figure of the sample, given how many copies of each of N images it holds.
Measure = Callable[[np.ndarray], np.ndarray]


class Resampled(NamedTuple):
    """A figure, and its values (resamples,) on samples drawn with replacement."""

    estimate: float
    draws: np.ndarray


def bootstrap(measures: Mapping[str, Measure], images: int, resamples: int, seed: int) -> dict[str, Resampled]:
    """Each measure of `images` images, and of `resamples` samples of as many drawn with replacement. Efron 1979.

    The same images, resamples and seed give the same samples, so draws of two models are paired.
    """

    def sample(rng: np.random.Generator) -> np.ndarray:
        return np.bincount(rng.integers(images, size=images), minlength=images).astype(np.float64)

    draws: dict[str, list[np.ndarray]] = {name: [] for name in measures}
    for weights in _batches(sample, images, resamples, seed):
        for name, measure in measures.items():
            draws[name].append(measure(weights))
    whole = np.ones(images)
    return {name: Resampled(float(measures[name](whole)), np.concatenate(parts)) for name, parts in draws.items()}


def interval(figure: Resampled) -> dict[str, float]:
    """The interval at LEVEL, low and high: quantiles of the draws, shifted so that their mean is the estimate.

    It covers the mean over test sets of this size; for a mean, that is the population's value. A calibration error is
    biased upwards, most of all for a calibrated model, and resampling adds to the bias. Without the shift, an interval
    of the change by scaling would often miss its own estimate. The estimate's own bias remains: `null_band` shows it. A
    maximum resamples badly: a 95 % interval of MCE covers 80 to 92 %.
    """
    centred = figure.draws - figure.draws.mean() + figure.estimate
    low, high = np.quantile(centred, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"low": float(low), "high": float(high)}


def difference(first: Resampled, second: Resampled) -> dict[str, float]:
    """second - first, with its interval at LEVEL from paired samples: difference, low and high."""
    paired = Resampled(second.estimate - first.estimate, second.draws - first.draws)
    return {"difference": paired.estimate, **interval(paired)}


def null_band(
    confidence: np.ndarray, errors: Mapping[str, Callable[..., np.ndarray]], resamples: int, seed: int
) -> dict[str, dict[str, float]]:
    """The errors of a perfectly calibrated model with these confidences (N,), by name: mean and upper.

    errors: functions of confidence (N,) and correct (R, N), from `study.evaluation.calibration_errors`. Such a model is
    right with probability `confidence`, and the errors depend on labels only through that. upper: the quantile at
    LEVEL, which 95 % of such models stay below. Bröcker and Smith 2007, "consistency resampling".
    """

    def sample(rng: np.random.Generator) -> np.ndarray:
        return rng.random(len(confidence)) < confidence

    draws: dict[str, list[np.ndarray]] = {name: [] for name in errors}
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
    """Yield `resamples` samples (images,) in batches (R, images) of bounded size."""
    rng = np.random.default_rng(seed)
    rows = max(1, CELLS // images)
    for start in range(0, resamples, rows):
        yield np.stack([sample(rng) for _ in range(min(rows, resamples - start))])
