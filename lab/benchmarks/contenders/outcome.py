"""What a training came to: its curve, and how right and how honest the model is that it keeps."""

from typing import Any, NamedTuple

import numpy as np

from lab.benchmarks.measuring.curve import Curve, to_text
from study.evaluation.scores import accuracy, ece
from study.evaluation.temperature import fit_temperature, tempered_softmax

BINS = 15


class Outcome(NamedTuple):
    """Logits: float32 (N, C); labels: int64 (N,)."""

    curve: Curve
    kept: float  # accuracy of the model that is kept, on the images that judge every epoch
    val_logits: np.ndarray  # of the images that the temperature is fitted on
    val_labels: np.ndarray
    test_logits: np.ndarray
    test_labels: np.ndarray


def columns(outcome: Outcome) -> dict[str, Any]:
    """The columns of a row. Everybody's temperature is fitted by this project's function, on the same images."""
    probabilities = tempered_softmax(outcome.test_logits)
    return {
        "seconds": round(outcome.curve[-1][0], 3),
        "val_accuracy": round(outcome.kept, 4),
        "test_accuracy": round(accuracy(probabilities, outcome.test_labels), 4),
        "ece": round(ece(probabilities, outcome.test_labels, BINS), 4),
        "ece_scaled": _scaled_ece(outcome),
        "curve": to_text(outcome.curve),
    }


def _scaled_ece(outcome: Outcome) -> float | None:
    temperature, fitted = fit_temperature(outcome.val_logits, outcome.val_labels)
    if not fitted:  # a quick run has learned too little, or classifies every image right
        return None
    return round(ece(tempered_softmax(outcome.test_logits, temperature), outcome.test_labels, BINS), 4)
