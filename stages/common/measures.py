"""The measures of a classifier that are resampled, each as a function of the sample."""

from functools import partial

import numpy as np

from stages.common.calibration import softmax
from stages.common.calibration_errors import classwise_ece, confidence_errors, mce
from stages.common.metrics import brier_of_each, confidence_and_correct, nll_of_each
from stages.common.resampling import Measure
from stages.common.selective import aurc


def measures(logits: np.ndarray, labels: np.ndarray, temperature: float, bins: int) -> dict[str, Measure]:
    """Accuracy, proper scores, calibration errors and AURC of softmax(logits / temperature), by name.

    logits: (N, C), unnormalised; labels: (N,), integers in [0, C); bins: of ECE (equal width or mass), MCE and
    classwise ECE.
    """
    probabilities = softmax(logits, temperature)
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
    return (weights * of_each).mean(axis=-1)
