"""Temperature scaling: one number, fitted on held-out logits, that makes a classifier's probabilities honest.

Guo et al. 2017, "On Calibration of Modern Neural Networks".
"""

from math import exp, log
from typing import Annotated

import numpy as np
from pydantic import Field
from scipy.optimize import brentq

from stages.common.params import Block, Refusal, Seed

LOWEST, HIGHEST = 0.05, 20.0  # temperatures searched; networks that classify at all have theirs between 0.5 and 5


class Calibrate(Block):
    """`calibrate`: how calibration is measured."""

    bins: Annotated[int, Field(ge=2, le=100)]  # of equal width, for ECE and the reliability diagram, or of equal mass
    resamples: Annotated[int, Field(ge=20, le=100_000)]  # draws behind each bootstrap interval and null band
    seed: Seed


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities of logits / temperature along the last axis, float64. The order of the classes stays.

    >>> softmax(np.log([[1.0, 3.0]]))
    array([[0.25, 0.75]])
    >>> softmax(np.log([[1.0, 9.0]]), temperature=2)
    array([[0.25, 0.75]])
    """
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    weights = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The T that minimises the mean negative log-likelihood of `labels` under softmax(logits / T).

    logits: (N, C); labels: (N,), integers in [0, C). The likelihood is concave in 1 / T, so the best T is where its
    slope crosses zero: a bracketed search on log T in float64, which cannot diverge. It is 1, no change, where there is
    nothing to fit to: all labels told apart so well that a T below LOWEST would be best, or all logits equal.
    Raises Refusal when no T up to HIGHEST is best.
    """
    below_top = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    of_label = below_top[np.arange(len(labels)), labels]

    def slope(log_temperature: float) -> float:
        """Of the NLL in 1 / T: the mean excess of the expected logit over the label's."""
        expected = (softmax(below_top, exp(log_temperature)) * below_top).sum(axis=1)
        return float((expected - of_label).mean())

    if slope(log(LOWEST)) <= 0:
        return 1.0
    if slope(log(HIGHEST)) >= 0:
        raise Refusal(
            f"the best temperature for these {len(labels)} validation images is above {HIGHEST}, as happens when the "
            "model has learned nothing about their labels: train it longer or at a lower learning rate"
        )
    return exp(brentq(slope, log(LOWEST), log(HIGHEST), xtol=1e-12))
