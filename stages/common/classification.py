"""Which classes are found, and which are taken for which.

`actual` and `predicted` are (N,), indices into `classes`, the list of all class names.
"""

import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

CONFUSABLE = (("cat", "dog"), ("automobile", "truck"), ("bird", "airplane"))  # classes of CIFAR-10 that look alike


def per_class(actual: np.ndarray, predicted: np.ndarray, classes: list[str]) -> dict[str, dict[str, float]]:
    """Precision, recall and F1 in [0, 1] and the support (number of images) of each class, by its name.

    The precision of a class that is never predicted is 0, and so is the recall of one without images.
    """
    columns = precision_recall_fscore_support(actual, predicted, labels=range(len(classes)), zero_division=0)
    return {
        name: {"precision": float(precision), "recall": float(recall), "f1": float(f1), "support": int(support)}
        for name, precision, recall, f1, support in zip(classes, *columns, strict=True)
    }


def macro(scores: dict[str, dict[str, float]]) -> dict[str, float]:
    """The unweighted means over classes of what `per_class` returned."""
    return {
        f"macro_{key}": sum(of_class[key] for of_class in scores.values()) / len(scores)
        for key in ("precision", "recall", "f1")
    }


def most_confused(actual: np.ndarray, predicted: np.ndarray, classes: list[str], pairs: int = 10) -> list[dict]:
    """The most frequent errors, the worst first: true, predicted, count and rate (share of the true class).

    Pairs that never occur are left out, so there may be fewer than `pairs`.

    >>> most_confused(np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 1, 1]), ["cat", "dog"])
    [{'true': 'cat', 'predicted': 'dog', 'count': 1, 'rate': 0.25}]
    """
    matrix = confusion_matrix(actual, predicted, labels=range(len(classes)))
    errors = matrix * ~np.eye(len(classes), dtype=bool)
    worst = sorted(zip(*np.nonzero(errors), strict=True), key=lambda pair: -errors[pair])
    return [_confusion(matrix, true, guess, classes) for true, guess in worst[:pairs]]


def confusable(actual: np.ndarray, predicted: np.ndarray, classes: list[str]) -> list[dict]:
    """How often the classes of each pair of CONFUSABLE are taken for each other, in both directions, even if never.

    Rows as of `most_confused`, in CONFUSABLE's order; a pair is left out unless both are among the classes.

    >>> for row in confusable(np.array([0, 0, 1]), np.array([0, 1, 1]), ["cat", "dog"]):
    ...     print(row)
    {'true': 'cat', 'predicted': 'dog', 'count': 1, 'rate': 0.5}
    {'true': 'dog', 'predicted': 'cat', 'count': 0, 'rate': 0.0}
    """
    matrix = confusion_matrix(actual, predicted, labels=range(len(classes)))
    return [
        _confusion(matrix, classes.index(true), classes.index(guess), classes)
        for pair in CONFUSABLE
        if set(pair) <= set(classes)
        for true, guess in (pair, pair[::-1])
    ]


def _confusion(matrix: np.ndarray, true: int, guess: int, classes: list[str]) -> dict:
    return {
        "true": classes[true],
        "predicted": classes[guess],
        "count": int(matrix[true, guess]),
        "rate": float(matrix[true, guess] / matrix[true].sum()),
    }
