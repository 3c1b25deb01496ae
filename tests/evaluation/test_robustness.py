import json

import numpy as np
import pandas as pd
import pytest
from netcal.metrics import ECE

from study.evaluation.robustness import adapted_changes, counted, held_out, mean_measures, robustness

NAMES = ("accuracy", "ece_before", "ece_after", "ece_null_mean", "ece_null_upper")


def condition(variant, corruption, severity, *values, group="benchmark"):
    measured = dict(zip(NAMES, values, strict=True))
    place = {"variant": variant, "corruption": corruption, "group": group, "severity": severity, "images": 50}
    return {**place, **measured}


ROWS = [
    condition("fc", "clean", 0, 0.8, 0.02, 0.01, 0.01, 0.02, group="clean"),
    condition("fc", "fog", 1, 0.7, 0.06, 0.05, 0.01, 0.02),
    condition("fc", "fog", 2, 0.5, 0.08, 0.09, 0.02, 0.03),
    condition("fc", "snow", 1, 0.6, 0.04, 0.03, 0.02, 0.03),
    condition("fc", "ice", 1, 0.1, 0.4, 0.3, 0.1, 0.2, group="own"),
    condition("full", "clean", 0, 0.9, 0.02, 0.01, 0.01, 0.02, group="clean"),
    condition("full", "fog", 1, 0.7, 0.06, 0.05, 0.01, 0.02),
    condition("full", "fog", 2, 0.6, 0.08, 0.09, 0.02, 0.03),
    condition("full", "snow", 1, 0.5, 0.04, 0.03, 0.02, 0.03),
    condition("full", "ice", 1, 0.2, 0.4, 0.3, 0.1, 0.2, group="own"),
]
TABLE = pd.DataFrame(ROWS)
FC = TABLE[:5]


def test_the_benchmark_s_conditions_count_and_the_clean_images_never_do():
    assert counted(FC)["corruption"].tolist() == ["fog", "fog", "snow"]


def test_everything_corrupted_counts_where_nothing_is_the_benchmark_s():
    assert counted(FC.iloc[[0, 4]])["corruption"].tolist() == ["ice"]


def test_the_means_are_over_the_conditions_that_count():
    fc = robustness(TABLE)["fc"]
    assert (fc["conditions"], fc["images"]) == (3, 50)
    assert fc["corrupted"]["accuracy"] == pytest.approx((0.7 + 0.5 + 0.6) / 3)
    assert fc["corrupted"]["ece_null_mean"] == pytest.approx((0.01 + 0.02 + 0.02) / 3)
    assert fc["retained"] == pytest.approx(0.6 / 0.8)
    assert fc["by_severity"]["1"]["accuracy"] == pytest.approx((0.7 + 0.6) / 2)
    assert fc["by_severity"]["0"] == fc["clean"] == dict(zip(NAMES, (0.8, 0.02, 0.01, 0.01, 0.02), strict=True))


def test_nothing_is_retained_of_no_accuracy():
    assert robustness(FC.assign(accuracy=0.0))["fc"]["retained"] is None


def test_the_held_out_corruptions_have_rows_of_their_own():
    ripple = condition("fc", "ripple", 1, 0.4, 0.2, 0.1, 0.01, 0.02, group="held_out")
    table = pd.DataFrame([*ROWS[:5], ripple])
    assert held_out(table)["corruption"].tolist() == ["ripple"] and held_out(FC).empty
    pd.testing.assert_frame_equal(counted(table), counted(FC))
    scores = robustness(table)["fc"]
    assert scores["corrupted"] == robustness(TABLE)["fc"]["corrupted"]
    assert scores["by_corruption"]["ripple"]["accuracy"] == 0.4


def test_accuracy_and_ece_are_averaged_over_the_conditions():
    """Two images, in the upper of two bins, under two conditions: gaps 1.5 - 1 and 1.75 - 2."""
    measures = mean_measures(np.array([[0.75, 0.75], [1, 0.75]]), np.array([[True, False], [True, True]]), bins=2)
    assert measures["accuracy"](np.ones(2)) == (1 / 2 + 2 / 2) / 2
    assert measures["ece"](np.ones(2)) == (0.5 / 2 + 0.25 / 2) / 2


def test_a_sample_holds_an_image_as_often_as_its_weight_under_every_condition():
    measures = mean_measures(np.array([[0.75, 0.75], [1, 0.75]]), np.array([[True, False], [True, True]]), bins=2)
    samples = np.array([[2.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    assert measures["accuracy"](samples).tolist() == [1, 1 / 2, 3 / 4]
    assert measures["ece"](samples).tolist() == [(0.25 + 0) / 2, (0.75 + 0.25) / 2, (0.25 + 0.125) / 2]


def test_the_means_of_all_images_are_those_of_the_table():
    rng = np.random.default_rng(0)
    confidence = rng.random((5, 50))
    correct = rng.random((5, 50)) < confidence
    measured = FC.assign(
        accuracy=correct.mean(axis=1),
        ece_after=[ECE(15).measure(*each) for each in zip(confidence, correct.astype(int), strict=True)],
    )
    rows, expected = counted(measured).index, robustness(measured)["fc"]["corrupted"]
    measures = mean_measures(confidence[rows], correct[rows], bins=15)
    assert measures["accuracy"](np.ones(50)) == pytest.approx(expected["accuracy"])
    assert measures["ece"](np.ones(50)) == pytest.approx(expected["ece_after"])


def test_variants_and_corruptions_keep_the_order_of_the_table_and_severities_rise():
    scores = robustness(TABLE[::-1].reset_index(drop=True))
    assert list(scores) == ["full", "fc"]
    assert list(scores["fc"]["by_corruption"]) == ["ice", "snow", "fog"]
    assert list(scores["fc"]["by_severity"]) == ["0", "1", "2"]


def test_the_scores_are_plain_values_that_json_takes():
    assert json.loads(json.dumps(robustness(TABLE))) == robustness(TABLE)


def test_every_corruption_is_told_with_its_group_whether_it_counts_or_not():
    corruptions = robustness(TABLE)["fc"]["by_corruption"]
    assert {name: scores["group"] for name, scores in corruptions.items()} == {
        "fog": "benchmark",
        "snow": "benchmark",
        "ice": "own",
    }
    assert corruptions["fog"]["ece_after"] == pytest.approx((0.05 + 0.09) / 2)


def test_conditions_are_counted_where_scaling_lowers_the_error():
    assert robustness(TABLE)["fc"]["scaling_helps"] == 2  # .06 to .05 and .04 to .03, but .08 to .09


def test_what_adaptation_changes_is_a_mean_over_the_severities_at_the_largest_batch_size():
    rows = [
        ("fog", 1, 0, 0.6),
        ("fog", 1, 500, 0.7),
        ("fog", 5, 0, 0.2),
        ("fog", 5, 8, 0.1),
        ("fog", 5, 500, 0.5),
        ("jpeg", 5, 0, 0.5),
        ("jpeg", 5, 500, 0.4),
        ("clean", 0, 0, 0.9),
        ("clean", 0, 500, 0.8),
    ]
    table = pd.DataFrame(rows, columns=["corruption", "severity", "batch_size", "accuracy"]).assign(variant="fc")
    changes = adapted_changes(table)
    assert changes == {"fc": {"fog": pytest.approx((0.1 + 0.3) / 2), "jpeg": pytest.approx(-0.1)}}
