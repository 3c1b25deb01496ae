"""Temperature scaling: one number, fitted on held-out logits, that calibrates a classifier's probabilities.

Guo et al. 2017, "On Calibration of Modern Neural Networks".
"""

from math import exp, log
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field
from scipy.optimize import brentq
from scipy.special import softmax

from study.pipeline.files import read_json, write_json
from study.pipeline.params import Block, Refusal, Seed

LOWEST, HIGHEST = 0.05, 20.0  # temperatures searched; trained networks have theirs between 0.5 and 5


class Calibrate(Block):
    """`calibrate`: how calibration is measured."""

    bins: Annotated[int, Field(ge=2, le=100)]  # of equal width (ECE, reliability diagram) or equal mass
    resamples: Annotated[int, Field(ge=20, le=100_000)]  # draws behind each bootstrap interval and null band
    seed: Seed


def tempered_softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """softmax(logits / temperature) along the last axis, float64. The ranking of the classes stays.

    >>> tempered_softmax(np.log([[1.0, 9.0]]), temperature=2)
    array([[0.25, 0.75]])
    """
    probabilities: np.ndarray = softmax(np.asarray(logits, dtype=np.float64) / temperature, axis=-1)
    return probabilities


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The T that minimises the mean negative log-likelihood of `labels` under softmax(logits / T).

    logits: (N, C); labels: (N,), integers in [0, C). The likelihood is concave in 1 / T, so its slope crosses zero at
    the best T, which a bracketed search on log T finds without diverging. Returns 1, no change, if there is nothing to
    fit: all logits are equal, or the labels are separated so well that the best T is below LOWEST.
    Raises Refusal when the best T is above HIGHEST.
    """
    below_top = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    of_label = below_top[np.arange(len(labels)), labels]

    def slope(log_temperature: float) -> float:
        """Slope of the NLL in 1 / T: the mean of (expected logit - logit of the label)."""
        expected = (tempered_softmax(below_top, exp(log_temperature)) * below_top).sum(axis=1)
        return float((expected - of_label).mean())

    if slope(log(LOWEST)) <= 0:
        return 1.0
    if slope(log(HIGHEST)) >= 0:
        raise Refusal(
            f"the best temperature for these {len(labels)} validation images is above {HIGHEST}, as happens when the "
            "model has learned nothing about their labels: train it longer or at a lower learning rate"
        )
    return exp(brentq(slope, log(LOWEST), log(HIGHEST), xtol=1e-12))


def save_temperature(root: Path, variant: str, temperature: float) -> None:
    write_json(_path(root, variant), {"temperature": temperature})


def load_temperature(root: Path, variant: str) -> float:
    """The variant's temperature, as fitted by the stage `calibrate`."""
    return float(read_json(_path(root, variant))["temperature"])


def _path(root: Path, variant: str) -> Path:
    return root / f"results/temperature/{variant}.json"
