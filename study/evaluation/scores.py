"""Accuracy of predictions and quality of their probabilities, in float64.

`probabilities` is (N, C), with rows that sum to one; `logits` is (N, C), unnormalised; `labels` is (N,), integers in
[0, C). A prediction is the most probable class, and its confidence is that class's probability. Every function raises
ValueError, quoting the shapes, when they disagree.
"""

from functools import partial

import numpy as np
import pandas as pd
from scipy.special import log_softmax

from study.evaluation.bootstrap import Measure
from study.evaluation.calibration_errors import bin_index, binned_ece, classwise_ece, confidence_errors, mce
from study.evaluation.selective import aurc
from study.evaluation.temperature import tempered_softmax


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Share of predictions that equal their label, in [0, 1].

    >>> accuracy(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 0]))
    0.5
    """
    return float(confidence_and_correct(probabilities, labels)[1].mean())


def confidence_and_correct(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The confidence of each prediction, float64 (N,), and whether it is right, bool (N,).

    >>> confidence_and_correct(np.array([[0.75, 0.25], [0.5, 0.5]]), np.array([0, 1]))
    (array([0.75, 0.5 ]), array([ True, False]))
    """
    probabilities = _scores(probabilities, labels)
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == labels


def nll(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> float:
    """Mean negative log-likelihood of the labels under softmax(logits / temperature), in nats."""
    return float(nll_of_each(logits, labels, temperature).mean())


def nll_of_each(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Negative log-likelihood of each label (N,) under softmax(logits / temperature), in nats.

    It takes logits because a probability may underflow to 0, which has no logarithm.

    >>> nll_of_each(np.array([[0.0, 2000.0]], dtype=np.float32), np.array([0]))
    array([2000.])
    """
    log_probabilities = log_softmax(_scores(logits, labels) / temperature, axis=1)
    nlls: np.ndarray = -log_probabilities[np.arange(len(labels)), labels]
    return nlls


def brier(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean squared distance between the probabilities and the one-hot label, summed over classes: in [0, 2].

    Brier 1950.
    """
    return float(brier_of_each(probabilities, labels).mean())


def brier_of_each(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Squared distance (N,) between each image's probabilities and its one-hot label, summed over classes.

    >>> brier_of_each(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([0, 1]))
    array([0.5, 2. ])
    """
    errors = _scores(probabilities, labels)
    errors[np.arange(len(labels)), labels] -= 1
    distances: np.ndarray = np.square(errors).sum(axis=1)
    return distances


def ece(probabilities: np.ndarray, labels: np.ndarray, bins: int) -> float:
    """Expected calibration error: mean |accuracy - confidence| of `reliability_bins`, weighted by count, in [0, 1].

    Naeini et al. 2015; Guo et al. 2017. It is biased upwards: even a perfectly calibrated model scores above 0.

    >>> ece(np.array([[0.75, 0.25], [0.75, 0.25]]), np.array([0, 1]), bins=15)
    0.25
    """
    return float(binned_ece(*confidence_and_correct(probabilities, labels), bins=bins))


def reliability_bins(probabilities: np.ndarray, labels: np.ndarray, bins: int) -> pd.DataFrame:
    """Mean confidence and accuracy of the predictions in each of `bins` equally wide bins of confidence.

    A bin is (bin_lower, bin_upper], so a confidence of 1 is in the last one. An empty bin has count 0, and NaN for
    confidence and accuracy.

    >>> reliability_bins(np.array([[0.5, 0.5], [0.25, 0.75], [0.0, 1.0]]), np.array([0, 1, 0]), bins=2)
       bin_lower  bin_upper  confidence  accuracy  count
    0        0.0        0.5       0.500       1.0      1
    1        0.5        1.0       0.875       0.5      2
    """
    confidence, correct = confidence_and_correct(probabilities, labels)
    predictions = pd.DataFrame({"confidence": confidence, "accuracy": correct.astype(float)})
    of_bin = predictions.groupby(bin_index(confidence, bins))
    edges = np.linspace(0, 1, bins + 1)
    table = pd.DataFrame({"bin_lower": edges[:-1], "bin_upper": edges[1:]}).join(of_bin.mean())
    return table.assign(count=of_bin.size().reindex(table.index, fill_value=0))


def resampled_scores(logits: np.ndarray, labels: np.ndarray, temperature: float, bins: int) -> dict[str, Measure]:
    """Accuracy, proper scores, calibration errors and AURC of softmax(logits / temperature), by name.

    logits: (N, C), unnormalised; labels: (N,), integers in [0, C); bins: of ECE (equal width or mass), MCE and
    classwise ECE.
    """
    probabilities = tempered_softmax(logits, temperature)
    confidence, correct = confidence_and_correct(probabilities, labels)
    return {
        "accuracy": partial(_mean, correct.astype(np.float64)),
        "nll": partial(_mean, nll_of_each(logits, labels, temperature)),
        "brier": partial(_mean, brier_of_each(probabilities, labels)),
        **{name: partial(error, confidence, correct) for name, error in confidence_errors(bins).items()},
        "classwise_ece": partial(classwise_ece, probabilities, labels, bins=bins),
        "mce": partial(mce, confidence, correct, bins=bins),
        "aurc": partial(aurc, confidence, correct),
    }


def _mean(of_each: np.ndarray, weights: np.ndarray) -> np.ndarray:
    mean: np.ndarray = (weights * of_each).mean(axis=-1)
    return mean


def _scores(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise ValueError(f"expected scores (N, C) and labels (N,), got {scores.shape} and {labels.shape}")
    return scores.astype(np.float64)
