"""Precision and recall of each class, and which classes are confused.

`actual` and `predicted` are (N,), indices into `classes`, the list of all class names.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import classification_report, confusion_matrix

UNEQUAL = 1.1  # images of the commonest class over those of the rarest; below, balanced accuracy repeats accuracy
CONFUSABLE = (("cat", "dog"), ("automobile", "truck"), ("bird", "airplane"))  # similar classes of CIFAR-10


def per_class(actual: np.ndarray, predicted: np.ndarray, classes: list[str]) -> dict[str, dict[str, float]]:
    """Precision, recall and F1 in [0, 1], and the support (number of images), by class name.

    Precision is 0 for a class that is never predicted, and recall is 0 for one without images.
    """
    report = _report(actual, predicted, classes)
    return {
        name: _of_class(report[str(label)]) | {"support": int(report[str(label)]["support"])}
        for label, name in enumerate(classes)
    }


def macro(actual: np.ndarray, predicted: np.ndarray, classes: list[str]) -> dict[str, float]:
    """The unweighted means over the classes: macro_precision, macro_recall and macro_f1."""
    means = _of_class(_report(actual, predicted, classes)["macro avg"])
    return {f"macro_{name}": value for name, value in means.items()}


def unequal(scores: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether classes differ so much in number that accuracy can hide a class. scores: of `per_class`."""
    supports = [row["support"] for row in scores.values()]
    return bool(max(supports) > UNEQUAL * min(supports))


def majority_accuracy(train_labels: np.ndarray, actual: np.ndarray) -> float:
    """The accuracy of always answering the commonest class of the training images.

    >>> majority_accuracy(np.array([0, 1, 1]), np.array([1, 0, 0, 0]))
    0.25
    """
    return float(np.mean(actual == np.bincount(train_labels).argmax()))


def never_predicted(predicted: np.ndarray, classes: list[str]) -> list[str]:
    """
    >>> never_predicted(np.array([0, 2, 0]), ["cat", "dog", "ship"])
    ['dog']
    """
    found = set(predicted.tolist())
    return [name for label, name in enumerate(classes) if label not in found]


def listed(names: Sequence[str], most: int = 10) -> str:
    """The names in one line, which a study of hundreds of classes does not fill.

    >>> listed(["cat", "dog", "ship"]), listed(["cat", "dog", "ship"], most=2)
    ('cat, dog, ship', 'cat, dog and 1 more')
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _report(actual: np.ndarray, predicted: np.ndarray, classes: list[str]) -> dict[str, dict[str, float]]:
    # By number, not by name: a class may be called "accuracy", which is a row of the report.
    report: dict[str, dict[str, float]] = classification_report(
        actual, predicted, labels=range(len(classes)), output_dict=True, zero_division=0
    )
    return report


def _of_class(row: dict[str, float]) -> dict[str, float]:
    return {"precision": float(row["precision"]), "recall": float(row["recall"]), "f1": float(row["f1-score"])}


def most_confused(
    actual: np.ndarray, predicted: np.ndarray, classes: list[str], pairs: int = 10
) -> list[dict[str, Any]]:
    """The most frequent errors, worst first: true, predicted, count and rate (share of the true class).

    Pairs that never occur are left out, so there can be fewer than `pairs`.

    >>> most_confused(np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 1, 1]), ["cat", "dog"])
    [{'true': 'cat', 'predicted': 'dog', 'count': 1, 'rate': 0.25}]
    """
    matrix = confusion_matrix(actual, predicted, labels=range(len(classes)))
    errors = matrix * ~np.eye(len(classes), dtype=bool)
    worst = sorted(zip(*np.nonzero(errors), strict=True), key=lambda pair: -errors[pair])
    return [_confusion(matrix, true, guess, classes) for true, guess in worst[:pairs]]


def confusable(actual: np.ndarray, predicted: np.ndarray, classes: list[str]) -> list[dict[str, Any]]:
    """How often the classes of each pair of CONFUSABLE are confused, in both directions, even if never.

    Rows like those of `most_confused`, in CONFUSABLE's order. Pairs not in `classes` are left out.

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


def _confusion(matrix: np.ndarray, true: int, guess: int, classes: list[str]) -> dict[str, Any]:
    return {
        "true": classes[true],
        "predicted": classes[guess],
        "count": int(matrix[true, guess]),
        "rate": float(matrix[true, guess] / matrix[true].sum()),
    }
