import doctest

import numpy as np
import pytest
from sklearn.metrics import classification_report

from stages.common import classification
from stages.common.classification import macro, most_confused, per_class

CLASSES = ["cat", "deer", "dog"]
ACTUAL = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 2])
PREDICTED = np.array([0, 0, 0, 2, 1, 0, 0, 0, 2, 1])


def test_the_examples_in_the_docstrings_hold():
    failed, attempted = doctest.testmod(classification)
    assert attempted and not failed


def test_per_class_scores_are_the_textbook_ratios():
    cat = per_class(ACTUAL, PREDICTED, CLASSES)["cat"]
    assert cat == pytest.approx({"precision": 3 / 6, "recall": 3 / 4, "f1": 2 * 3 / (4 + 6), "support": 4})


def test_macro_is_the_macro_average_of_scikit_learn():
    expected = classification_report(ACTUAL, PREDICTED, output_dict=True)["macro avg"]
    scores = macro(per_class(ACTUAL, PREDICTED, CLASSES))
    assert scores == pytest.approx(
        {
            "macro_precision": expected["precision"],
            "macro_recall": expected["recall"],
            "macro_f1": expected["f1-score"],
        }
    )


def test_a_class_never_predicted_has_precision_zero_and_one_without_images_recall_zero():
    scores = per_class(np.array([0, 0, 1]), np.array([0, 2, 0]), CLASSES)
    assert scores["deer"] == {"precision": 0, "recall": 0, "f1": 0, "support": 1}
    assert scores["dog"] == {"precision": 0, "recall": 0, "f1": 0, "support": 0}


def test_the_most_confused_pairs_come_first_with_their_share_of_the_true_class():
    assert most_confused(ACTUAL, PREDICTED, CLASSES, pairs=2) == [
        {"true": "dog", "predicted": "cat", "count": 2, "rate": 2 / 4},
        {"true": "cat", "predicted": "dog", "count": 1, "rate": 1 / 4},
    ]


def test_pairs_that_never_occur_are_left_out():
    assert len(most_confused(ACTUAL, PREDICTED, CLASSES)) == 4
    assert most_confused(ACTUAL, ACTUAL, CLASSES) == []
