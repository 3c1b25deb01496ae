import numpy as np
import pandas as pd
import pytest

from study.evaluation.bootstrap import LEVEL
from study.evaluation.mixtures import Answers, confident, gains, groups
from study.evaluation.paired_tests import paired_difference
from study.evaluation.temperature import Calibrate

BLOCK = Calibrate(bins=5, resamples=50, seed=0)
CONDITIONS = pd.DataFrame(
    {
        "corruption": ["clean", "fog", "fog", "ripple"],
        "group": ["clean", "benchmark", "benchmark", "held_out"],
        "severity": [0, 1, 5, 5],
    }
)


def answers(test, corrupted):
    """Right as these rows of 0 and 1 say, always with confidence 0.75."""
    test, corrupted = np.array([test], dtype=bool), np.array(corrupted, dtype=bool)
    return Answers(1.5, (np.full(test.shape, 0.75), test), (np.full(corrupted.shape, 0.75), corrupted))


def test_confidence_and_correctness_are_a_row_each():
    confidence, correct = confident(np.log([[0.25, 0.75], [0.5, 0.5]]), np.array([1, 1]), 1.0)
    assert confidence.tolist() == [pytest.approx([0.75, 0.5])]
    assert correct.tolist() == [[True, False]]


def test_the_clean_images_are_in_no_group():
    assert {name: list(rows) for name, rows in groups(CONDITIONS).items()} == {"corrupted_": [1, 2], "held_out_": [3]}


def test_gains_are_over_the_second_network_on_the_same_images():
    second = answers([1, 1, 0, 0], [[1, 1], [1, 0], [0, 0], [0, 1]])
    mixture = answers([1, 1, 1, 0], [[1, 1], [1, 1], [1, 0], [0, 0]])
    table = gains({1.0: second, 0.5: mixture}, CONDITIONS, BLOCK).set_index("share")
    assert list(table.index) == [0.5, 1.0]
    assert table.loc[0.5, ["accuracy", "corrupted_accuracy", "held_out_accuracy"]].tolist() == [3 / 4, 3 / 4, 0]
    assert table["accuracy_gain"].tolist() == [pytest.approx(1 / 4), 0]
    assert table["corrupted_accuracy_gain"].tolist() == [pytest.approx(3 / 4 - 1 / 4), 0]
    assert table["held_out_accuracy_gain"].tolist() == [pytest.approx(-1 / 2), 0]
    assert table["ece"].tolist() == [pytest.approx(0), pytest.approx(1 / 4)]


def test_one_image_gained_on_the_test_images_is_no_certain_gain():
    """Their interval is the score interval, and that of the second network against itself is nothing."""
    wrong, right = np.zeros(80), np.arange(80) == 0
    found = gains(
        {share: answers(of, np.ones((4, 4))) for share, of in ((1.0, wrong), (0.5, right))}, CONDITIONS, BLOCK
    )
    names = {"accuracy_gain": "difference", "accuracy_gain_low": "low", "accuracy_gain_high": "high"}
    half, whole = found[list(names)].rename(columns=names).to_dict("records")
    assert half == paired_difference(wrong > 0, right, LEVEL)
    assert half["low"] < 0 < 1 / 80 < half["high"]
    assert whole == {"difference": 0, "low": 0, "high": 0}


def test_without_corruptions_held_out_there_are_no_columns_of_them():
    few = {share: answers([1, 0], [[1, 1], [1, 0], [0, 0]]) for share in (0.0, 1.0)}
    assert not [name for name in gains(few, CONDITIONS[:3], BLOCK) if name.startswith("held_out")]
