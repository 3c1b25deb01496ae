"""Temperature scaling: one number, fitted on held-out logits, that calibrates a classifier's probabilities.

Guo et al. 2017, "On Calibration of Modern Neural Networks".
"""

from math import exp, log
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field
from scipy.optimize import brentq
from scipy.special import softmax

from study.pipeline.files import read_json, write_json
from study.pipeline.params import Block, Seed

LOWEST, HIGHEST = 0.05, 20.0  # temperatures searched; trained networks have theirs between 0.5 and 5

Bins = Annotated[int, Field(ge=2, le=100)]
Resamples = Annotated[int, Field(ge=20, le=100_000)]


class Calibrate(Block):
    """`calibrate`: how calibration is measured."""

    bins: Bins  # of equal width (ECE, reliability diagram) or equal mass
    resamples: Resamples  # draws behind each bootstrap interval and null band
    seed: Seed


class Fit(NamedTuple):
    """A temperature, and whether the images determine it. If not, it is the one to go on with."""

    temperature: float
    fitted: bool


def tempered_softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """softmax(logits / temperature) along the last axis, float64. The ranking of the classes stays.

    >>> tempered_softmax(np.log([[1.0, 9.0]]), temperature=2)
    array([[0.25, 0.75]])
    """
    probabilities: np.ndarray = softmax(np.asarray(logits, dtype=np.float64) / temperature, axis=-1)
    return probabilities


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> Fit:
    """The T that minimises the mean negative log-likelihood of `labels` under softmax(logits / T).

    logits: (N, C); labels: (N,), integers in [0, C). The likelihood is concave in 1 / T, so its slope crosses zero at
    the best T, which a bracketed search on log T finds without diverging. There are two cases in which it is not
    `fitted`. T is 1, no change, if there is nothing to fit: all logits are equal, or the labels are separated so well
    that the best T is below LOWEST. T is HIGHEST if the best one is above it.
    """
    below_top = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    of_label = below_top[np.arange(len(labels)), labels]

    def slope(log_temperature: float) -> float:
        """Slope of the NLL in 1 / T: the mean of (expected logit - logit of the label)."""
        expected = (tempered_softmax(below_top, exp(log_temperature)) * below_top).sum(axis=1)
        return float((expected - of_label).mean())

    if slope(log(LOWEST)) <= 0:
        return Fit(1.0, fitted=False)
    if slope(log(HIGHEST)) >= 0:
        return Fit(HIGHEST, fitted=False)
    return Fit(exp(brentq(slope, log(LOWEST), log(HIGHEST), xtol=1e-12)), fitted=True)


def why_not_fitted(temperature: float) -> str:
    """What `fit_temperature` found where it gave this temperature without fitting it, in words."""
    if temperature == HIGHEST:
        return (
            f"the best one for its validation images is above {HIGHEST:g}, the highest that is tried, as happens when "
            "a model has learned nothing about their labels; train it longer or at a lower learning rate"
        )
    return (
        f"no temperature from {LOWEST:g} up is the best for its validation images, as where all of them are right or "
        "all logits are equal"
    )


def save_temperature(root: Path, variant: str, temperature: float, fitted: bool = True) -> None:
    write_json(_path(root, variant), {"temperature": temperature, "fitted": fitted})


def load_temperature(root: Path, variant: str) -> float:
    """The variant's temperature, as the stage `calibrate` left it."""
    return float(read_json(_path(root, variant))["temperature"])


def _path(root: Path, variant: str) -> Path:
    return root / f"results/temperature/{variant}.json"
