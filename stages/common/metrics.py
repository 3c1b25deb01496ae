"""How right the predictions are, and how honest their probabilities: float64, on arrays.

`probabilities` is (N, C), each row summing to one, and `logits` is (N, C), unnormalised; `labels` is (N,), integers in
[0, C). A prediction is the most probable class and its confidence that class's probability. Every function raises
ValueError, quoting the shapes, when they disagree.
"""

import numpy as np

from stages.common.calibration_errors import bin_index, binned_ece


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Share of predictions that equal their label, in [0, 1].

    >>> accuracy(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 0]))
    0.5
    """
    return float(confidence_and_correct(probabilities, labels)[1].mean())


def confidence_and_correct(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The confidence (N,), float64, of each prediction, and whether it is right (N,), bool.

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

    It starts from logits because a probability that has underflowed to 0 has lost its logarithm.

    >>> nll_of_each(np.array([[0.0, 2000.0]], dtype=np.float32), np.array([0]))
    array([2000.])
    """
    scaled = _scores(logits, labels) / temperature
    below_top = scaled - scaled.max(axis=1, keepdims=True)
    log_probabilities = below_top - np.log(np.exp(below_top).sum(axis=1, keepdims=True))
    return -log_probabilities[np.arange(len(labels)), labels]


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
    return np.square(errors).sum(axis=1)


def ece(probabilities: np.ndarray, labels: np.ndarray, bins: int) -> float:
    """Expected calibration error: mean |accuracy - confidence| of `reliability_bins`, weighted by count, in [0, 1].

    Naeini et al. 2015; Guo et al. 2017. It is biased upwards: a perfectly calibrated model's is above 0.

    >>> ece(np.array([[0.75, 0.25], [0.75, 0.25]]), np.array([0, 1]), bins=15)
    0.25
    """
    return float(binned_ece(*confidence_and_correct(probabilities, labels), bins=bins))


def reliability_bins(probabilities: np.ndarray, labels: np.ndarray, bins: int) -> list[dict[str, float | int | None]]:
    """Mean confidence and accuracy of the predictions whose confidence falls in each of `bins` bins of equal width.

    A bin is (bin_lower, bin_upper], so a confidence of 1 is in the last one. An empty bin has count 0 and neither
    confidence nor accuracy (None).

    >>> low, high = reliability_bins(np.array([[0.5, 0.5], [0.25, 0.75], [0.0, 1.0]]), np.array([0, 1, 0]), bins=2)
    >>> low
    {'bin_lower': 0.0, 'bin_upper': 0.5, 'confidence': 0.5, 'accuracy': 1.0, 'count': 1}
    >>> high
    {'bin_lower': 0.5, 'bin_upper': 1.0, 'confidence': 0.875, 'accuracy': 0.5, 'count': 2}
    """
    confidence, correct = confidence_and_correct(probabilities, labels)
    edges = np.linspace(0, 1, bins + 1)
    place = bin_index(confidence, bins)
    members = [place == index for index in range(bins)]
    return [
        {
            "bin_lower": float(lower),
            "bin_upper": float(upper),
            "confidence": float(confidence[inside].mean()) if inside.any() else None,
            "accuracy": float(correct[inside].mean()) if inside.any() else None,
            "count": int(inside.sum()),
        }
        for lower, upper, inside in zip(edges[:-1], edges[1:], members, strict=True)
    ]


def _scores(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise ValueError(f"expected scores (N, C) and labels (N,), got {scores.shape} and {labels.shape}")
    return scores.astype(np.float64)
