"""Selective prediction: the error rate when the classifier abstains on the images with the lowest confidence.

`confidence`: (N,); `correct`: (N,), whether each prediction is right. Images of equal confidence are answered in equal
parts.
"""

import numpy as np

from study.evaluation.ranked_sums import sum_of_first


def risk_at_coverage(confidence: np.ndarray, correct: np.ndarray, coverage: float) -> float:
    """The error rate among the most confident share `coverage` of the images, in [0, 1].

    >>> risk_at_coverage(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, True, False, False]), 0.75)
    0.3333333333333333
    """
    answered = coverage * len(confidence)
    errors = sum_of_first(-confidence, 1.0 - correct, np.ones(len(confidence)), np.array([answered]))
    return float(errors[0] / answered)


def aurc(confidence: np.ndarray, correct: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the risk-coverage curve: the mean of `risk_at_coverage` over coverages 1/N, 2/N, ..., 1.

    weights: (N,) or (R, N), how many copies of each image the sample holds, N in all. Returns a scalar or (R,).
    Geifman et al. 2019. It is 0 when nothing is wrong, and the error rate when confidence says nothing.

    >>> float(aurc(np.array([0.9, 0.8]), np.array([False, True]), np.ones(2)))
    0.75
    """
    answered = np.arange(1, len(confidence) + 1)
    risks = sum_of_first(-confidence, 1.0 - correct, weights, answered) / answered
    area: np.ndarray = risks.mean(axis=-1)
    return area
