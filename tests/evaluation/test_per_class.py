import numpy as np
import pytest

from study.evaluation.per_class import (
    CONFUSABLE,
    confusable,
    macro,
    majority_accuracy,
    most_confused,
    never_predicted,
    per_class,
    unequal,
)

CLASSES = ["cat", "deer", "dog"]
ACTUAL = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 2])
PREDICTED = np.array([0, 0, 0, 2, 1, 0, 0, 0, 2, 1])


def test_per_class_scores_are_the_textbook_ratios():
    cat = per_class(ACTUAL, PREDICTED, CLASSES)["cat"]
    assert cat == pytest.approx({"precision": 3 / 6, "recall": 3 / 4, "f1": 2 * 3 / (4 + 6), "support": 4})


def test_macro_is_the_mean_over_the_classes_whatever_their_size():
    assert macro(ACTUAL, PREDICTED, CLASSES) == pytest.approx(
        {
            "macro_precision": (3 / 6 + 1 / 2 + 1 / 2) / 3,
            "macro_recall": (3 / 4 + 1 / 2 + 1 / 4) / 3,
            "macro_f1": (6 / 10 + 2 / 4 + 2 / 6) / 3,
        }
    )


def test_macro_counts_a_class_that_neither_occurs_nor_is_predicted():
    right = np.array([0, 1])
    assert macro(right, right, CLASSES)["macro_f1"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("classes", [["accuracy", "macro avg", "weighted avg"], ["1", "0", "2"], ["a", "b", ""]])
def test_a_class_may_have_any_name(classes):
    scores, expected = (per_class(ACTUAL, PREDICTED, names) for names in (classes, CLASSES))
    assert list(scores) == classes
    assert list(scores.values()) == list(expected.values())
    assert macro(ACTUAL, PREDICTED, classes) == macro(ACTUAL, PREDICTED, CLASSES)


def test_scores_are_plain_numbers_that_json_takes():
    scores = per_class(ACTUAL, PREDICTED, CLASSES)
    assert {type(value) for row in scores.values() for value in row.values()} == {float, int}
    assert {type(row["support"]) for row in scores.values()} == {int}


def test_a_class_never_predicted_has_precision_zero_and_one_without_images_recall_zero():
    scores = per_class(np.array([0, 0, 1]), np.array([0, 2, 0]), CLASSES)
    assert scores["deer"] == {"precision": 0, "recall": 0, "f1": 0, "support": 1}
    assert scores["dog"] == {"precision": 0, "recall": 0, "f1": 0, "support": 0}


def test_the_commonest_class_is_that_of_the_training_images_and_its_accuracy_that_on_the_test_images():
    assert majority_accuracy(np.array([2, 2, 0]), ACTUAL) == 4 / 10
    assert majority_accuracy(np.array([1]), ACTUAL) == 2 / 10


def test_a_class_counts_as_predicted_where_the_prediction_is_wrong_too():
    assert never_predicted(np.array([2, 2]), CLASSES) == ["cat", "deer"]
    assert never_predicted(PREDICTED, CLASSES) == []


@pytest.mark.parametrize(
    ("supports", "expected"), [((50, 50), False), ((37, 35), False), ((95, 5), True), ((1, 0), True)]
)
def test_classes_are_unequal_in_number_beyond_what_a_stratified_draw_rounds(supports, expected):
    """37 and 35 are the test images of the digits' commonest and rarest classes."""
    assert unequal({name: {"support": count} for name, count in zip("ab", supports, strict=True)}) is expected


def test_the_most_confused_pairs_come_first_with_their_share_of_the_true_class():
    assert most_confused(ACTUAL, PREDICTED, CLASSES, pairs=2) == [
        {"true": "dog", "predicted": "cat", "count": 2, "rate": 2 / 4},
        {"true": "cat", "predicted": "dog", "count": 1, "rate": 1 / 4},
    ]


def test_pairs_that_never_occur_are_left_out():
    assert len(most_confused(ACTUAL, PREDICTED, CLASSES)) == 4
    assert most_confused(ACTUAL, ACTUAL, CLASSES) == []


def test_look_alikes_are_reported_in_both_directions_when_both_are_among_the_classes():
    assert confusable(ACTUAL, PREDICTED, CLASSES) == [
        {"true": "cat", "predicted": "dog", "count": 1, "rate": 1 / 4},
        {"true": "dog", "predicted": "cat", "count": 2, "rate": 2 / 4},
    ]


def test_look_alikes_that_are_never_confused_are_reported_all_the_same():
    assert [row["count"] for row in confusable(ACTUAL, ACTUAL, CLASSES)] == [0, 0]


def test_classes_of_another_data_set_have_no_look_alikes():
    assert confusable(ACTUAL, PREDICTED, ["zero", "one", "two"]) == []


def test_the_look_alikes_are_classes_of_cifar10():
    names = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}
    assert {name for pair in CONFUSABLE for name in pair} <= names
