import numpy as np
import pandas as pd
import pytest

from study.label_errors.flagged import (
    MISSES,
    accuracy_without,
    answers,
    counts,
    images_table,
    in_split,
    load_flagged,
    measured,
    misses,
)
from study.pipeline.params import Refusal

CLASSES = ["cat", "dog", "ship"]
VOTES = ["judges_given", "judges_suggested", "judges_both", "judges_neither"]


def flagged(*rows):
    """Rows of test index, given class, suggested class and the four votes."""
    table = pd.DataFrame(rows, columns=["test_index", "given", "suggested", *VOTES])
    return table.assign(wrong=table["judges_given"] < 3)


THREE = flagged((4, "cat", "dog", 0, 5, 0, 0), (7, "dog", "ship", 3, 2, 0, 0), (9, "ship", "cat", 2, 1, 1, 1))


def split_of_three():
    """A split of four images of the published test set, two of them flagged: both labels are wrong."""
    return np.array([1, 2, 0, 0]), np.array([8, 9, 4, 2])


def test_the_table_has_275_labels_that_five_judged_and_54_of_them_are_wrong():
    table = load_flagged("cifar10")
    assert len(table) == table["test_index"].nunique() == 275
    assert (table[VOTES].sum(axis=1) == 5).all()
    assert (table["given"] != table["suggested"]).all()
    assert counts(table) == {"flagged": 275, "wrong": 54, "upheld_with_both": 17}


def test_a_label_is_wrong_when_fewer_than_three_judges_chose_it_alone():
    table = load_flagged("cifar10").set_index("test_index")
    assert table.loc[2405, VOTES].tolist() == [0, 5, 0, 0] and table.loc[2405, "wrong"]
    assert table.loc[882, VOTES].tolist() == [2, 2, 1, 0] and table.loc[882, "wrong"]  # upheld with "both"
    assert table.loc[20, VOTES].tolist() == [3, 0, 2, 0] and not table.loc[20, "wrong"]


def test_another_dataset_has_no_flagged_labels_in_the_same_columns():
    table = load_flagged("digits")
    assert len(table) == 0
    assert list(table) == list(load_flagged("cifar10"))


def test_flagged_labels_are_found_by_their_place_in_the_published_test_set():
    found = in_split(THREE, *split_of_three(), CLASSES)
    assert found[["row", "test_index", "given"]].values.tolist() == [[1, 9, "ship"], [2, 4, "cat"]]
    assert counts(found) == {"flagged": 2, "wrong": 2, "upheld_with_both": 1}


def test_labels_other_than_the_given_ones_are_refused_in_one_line():
    labels, indices = split_of_three()
    labels[2] = 1
    with pytest.raises(Refusal, match=r"1 of 2 labels are not CIFAR-10's: image 4 is labelled dog, not cat") as refused:
        in_split(THREE, labels, indices, CLASSES)
    assert "\n" not in str(refused.value)


def test_classes_in_another_order_are_refused():
    with pytest.raises(Refusal, match="2 of 2 labels"):
        in_split(THREE, *split_of_three(), CLASSES[::-1])


def test_accuracy_without_some_images_is_that_of_the_others():
    correct = np.array([True] * 60 + [False] * 40)
    figures = accuracy_without(correct, np.array([0, 60, 61, 62]), resamples=20, seed=0)
    assert figures["accuracy"]["mean"] == pytest.approx(60 / 100)
    assert figures["accuracy_without"]["mean"] == pytest.approx(59 / 96)
    assert figures["change"]["difference"] == pytest.approx(59 / 96 - 60 / 100)


def test_the_interval_of_the_change_is_that_of_paired_samples():
    correct, left_out = np.array([True] * 800 + [False] * 200), np.arange(790, 830)
    kept = np.ones(1000)
    kept[left_out] = 0
    figures = accuracy_without(correct, left_out, resamples=2000, seed=0)
    after = correct[kept > 0].mean()
    # To first order, an image adds to the change its deviation in the second mean less that in the first.
    spread = (kept * (correct - after) / kept.mean() - (correct - correct.mean())).std() / np.sqrt(1000)
    change = figures["change"]
    assert change["high"] - change["low"] == pytest.approx(2 * 1.96 * spread, rel=0.1)
    apart = figures["accuracy_without"]["high"] - figures["accuracy_without"]["low"]
    assert apart == pytest.approx(2 * 1.96 * np.sqrt(after * (1 - after) / 960), rel=0.1)


def test_leaving_out_nothing_changes_nothing():
    figures = accuracy_without(np.array([True, False, True]), np.array([], dtype=int), resamples=20, seed=0)
    assert figures["change"] == {"difference": 0, "low": 0, "high": 0}


def test_leaving_out_everything_is_refused():
    with pytest.raises(ValueError, match="all 3 images"):
        accuracy_without(np.ones(3, dtype=bool), np.arange(3), resamples=20, seed=0)


def test_every_answer_is_the_given_label_the_suggested_one_or_another():
    predicted = np.array(["dog", "ship", "cat"])
    assert answers(predicted, THREE) == {"given": 0, "suggested": 3, "another": 0}
    assert answers(np.array(["cat", "cat", "cat"]), THREE) == {"given": 1, "suggested": 1, "another": 1}


def test_the_most_confident_misses_are_counted_with_their_flagged_and_wrong_labels():
    confidence = np.array([0.99, 0.5, 0.9, 0.8, 0.7])
    correct = np.array([True, False, False, False, False])
    found = THREE.assign(row=[2, 3, 0])  # wrong, upheld, and wrong but on a hit
    assert misses(confidence, correct, found, most=1) == {"images": 1, "flagged": 1, "wrong": 1}
    assert misses(confidence, correct, found, most=2) == {"images": 2, "flagged": 2, "wrong": 1}
    assert misses(confidence, correct, found, most=9) == {"images": 4, "flagged": 2, "wrong": 1}


def test_a_variant_is_measured_on_its_own_answers():
    labels = np.zeros(100, dtype=np.int64)
    probabilities = np.tile([0.8, 0.1, 0.1], (100, 1))
    probabilities[:60] = np.linspace([0.1, 0.9, 0.0], [0.3, 0.7, 0.0], 60)  # misses, the most confident first
    found = flagged((0, "cat", "dog", 0, 5, 0, 0), (55, "cat", "ship", 1, 4, 0, 0), (99, "cat", "dog", 2, 3, 0, 0))
    found = found.assign(row=found["test_index"])
    figures = measured(probabilities, labels, found, CLASSES, resamples=20, seed=0)
    assert figures["accuracy"]["mean"] == pytest.approx(40 / 100)
    assert figures["accuracy_without"]["mean"] == pytest.approx(39 / 97)
    assert figures["answers"] == {"given": 1, "suggested": 1, "another": 1}
    assert figures["misses"] == {"images": 60, "flagged": 2, "wrong": 2}
    assert figures["confident_misses"] == {"images": MISSES, "flagged": 1, "wrong": 1}


def test_the_table_of_images_has_the_wrong_label_in_most_doubt_first():
    found = THREE.assign(row=[0, 1, 2])
    probabilities = {
        "fc": np.array([[0.5, 0.3, 0.2], [0.0, 0.0, 1.0], [0.1, 0.6, 0.3]]),
        "full": np.array([[0.2, 0.1, 0.7], [0.0, 0.0, 1.0], [0.8, 0.1, 0.1]]),
    }
    table = images_table(found, probabilities, CLASSES)
    assert table["test_index"].tolist() == [9, 4]  # 7 is upheld
    assert table["doubt"].tolist() == pytest.approx([(0.6 + 0.8) / 2, (0.3 + 0.7) / 2])
    assert table["fc_predicted"].tolist() == ["dog", "cat"]
    assert table["fc_confidence"].tolist() == pytest.approx([0.6, 0.5])
    assert table["full_predicted"].tolist() == ["cat", "ship"]
    assert table["full_confidence"].tolist() == pytest.approx([0.8, 0.7])
    assert probabilities["fc"][0, 0] == 0.5  # the caller's array stays


def test_the_table_of_no_images_has_the_same_columns():
    found, probabilities = THREE.assign(row=[0, 1, 2]), {"fc": np.full((3, 3), 1 / 3)}
    empty = images_table(found[:0], probabilities, CLASSES)
    assert len(empty) == 0
    assert list(empty) == list(images_table(found, probabilities, CLASSES))
