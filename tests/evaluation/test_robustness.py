import json

import numpy as np
import pandas as pd
import pytest

from study.evaluation.robustness import counted, robustness, share_right

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


def test_the_share_of_an_image_is_of_the_conditions_that_count():
    correct = np.array([[1, 1], [1, 0], [1, 0], [0, 1], [0, 0]], dtype=bool)  # clean, fog, fog, snow, and ice
    np.testing.assert_allclose(share_right(FC, correct), [2 / 3, 1 / 3])


def test_the_mean_share_right_is_the_mean_accuracy_over_the_conditions_that_count():
    correct = np.random.default_rng(0).random((5, 50)) < 0.7
    measured = FC.assign(accuracy=correct.mean(axis=1))
    expected = robustness(measured)["fc"]["corrupted"]["accuracy"]
    assert share_right(measured, correct).mean() == pytest.approx(expected)


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


def test_conditions_are_counted_by_who_is_most_accurate_and_a_tie_counts_for_both():
    scores = robustness(TABLE)
    assert (scores["fc"]["most_accurate"], scores["full"]["most_accurate"]) == (2, 2)  # fog 1, snow; fog 1, fog 2


def test_conditions_are_counted_by_what_scaling_and_chance_do():
    fc = robustness(TABLE)["fc"]
    assert fc["scaling_helps"] == 2  # .06 to .05 and .04 to .03, but .08 to .09
    assert fc["within_null"] == 1  # snow: .03 is not above .03
