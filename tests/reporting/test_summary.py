import pandas as pd
import pytest

from study.reporting.summary import (
    beyond_confidence,
    headlines,
    mean_auroc,
    per_class_table,
    pooled_errors,
    shift_headlines,
    under_corruption,
)

MEASURED = {"accuracy": 0.9, "nll": 0.4, "brier": 0.2, "ece": 0.05, "macro_f1": 0.89, "macro_recall": 0.6}
CALIBRATION = {
    "full": {
        "temperature": 1.5,
        "fitted": True,
        "never_predicted": [],
        "before": MEASURED | {"nll": 0.6, "ece": 0.08},
        "after": MEASURED,
        "per_class": {
            "cat": {"precision": 0.8, "recall": 0.7, "f1": 0.75, "support": 10},
            "dog": {"precision": 0.6, "recall": 0.5, "f1": 0.55, "support": 20},
        },
    }
}


def condition(variant, severity, accuracy, group="benchmark"):
    return {
        "variant": variant,
        "group": group,
        "severity": severity,
        "accuracy": accuracy,
        "ece_before": accuracy / 2,
        "ece_after": accuracy / 4,
        "ece_null_mean": 0.01,
        "ece_null_upper": 0.02,
    }


def test_the_corrupted_means_leave_out_the_clean_images_and_the_other_variants():
    rows = [condition("full", 0, 0.9), condition("full", 1, 0.8), condition("full", 5, 0.4), condition("fc", 5, 0.1)]
    training = {"features": {"seconds": 40.0}, "full": {"train_seconds": 60.5, "cached_features": True}}
    figures = headlines(CALIBRATION, pd.DataFrame(rows), training)["full"]
    assert figures["corrupted_accuracy"] == pytest.approx((0.8 + 0.4) / 2)
    assert figures["corrupted_ece_before"] == pytest.approx((0.4 + 0.2) / 2)
    assert figures["corrupted_ece_after"] == pytest.approx((0.2 + 0.1) / 2)


def test_the_corrupted_means_count_what_is_not_the_benchmark_s_only_where_nothing_is():
    training = {"features": {"seconds": 40.0}, "full": {"train_seconds": 60.5, "cached_features": True}}
    own = condition("full", 5, 0.4, group="own")
    both = headlines(CALIBRATION, pd.DataFrame([condition("full", 1, 0.8), own]), training)
    alone = headlines(CALIBRATION, pd.DataFrame([own]), training)
    assert (both["full"]["corrupted_accuracy"], alone["full"]["corrupted_accuracy"]) == (0.8, 0.4)


def test_the_held_out_means_stand_beside_what_adaptation_changes():
    adapted = {"change": {"accuracy": {"difference": 0.1}, "ece": {"difference": -0.02}}}
    held_out = {"accuracy": {"mean": 0.7}, "ece": {"mean": 0.04}}
    changes = {"adapted_accuracy_change": 0.1, "adapted_ece_change": -0.02}
    assert shift_headlines({"adapted": adapted}) == changes
    means = {"held_out_accuracy": 0.7, "held_out_ece": 0.04}
    assert shift_headlines({"held_out": held_out, "adapted": adapted}) == means | changes


def test_every_figure_comes_from_its_side_of_the_scaling():
    training = {"features": {"seconds": 40.0}, "full": {"train_seconds": 60.5, "cached_features": True}}
    figures = headlines(CALIBRATION, pd.DataFrame([condition("full", 1, 0.8)]), training)["full"]
    assert (figures["ece_before"], figures["ece_after"]) == (0.08, 0.05)
    assert (figures["nll_before"], figures["nll_after"]) == (0.6, 0.4)
    assert (figures["accuracy"], figures["brier_after"], figures["macro_f1"]) == (0.9, 0.2, 0.89)
    assert (figures["temperature"], figures["train_seconds"]) == (1.5, 40.0 + 60.5)


def of_full(change):
    training = {"features": {"seconds": 40.0}, "full": {"train_seconds": 60.5, "cached_features": True}}
    calibration = {"full": CALIBRATION["full"] | change}
    return headlines(calibration, pd.DataFrame([condition("full", 1, 0.8)]), training)["full"]


def test_balanced_accuracy_is_given_where_the_test_classes_differ_in_number():
    """Of CALIBRATION, 10 and 20."""
    equal = {name: row | {"support": 15} for name, row in CALIBRATION["full"]["per_class"].items()}
    assert of_full({})["balanced_accuracy"] == 0.6
    assert "balanced_accuracy" not in of_full({"per_class": equal})


def test_the_summary_says_whether_the_temperature_was_fitted_and_how_many_classes_are_never_predicted():
    figures = of_full({"fitted": False, "never_predicted": ["dog"]})
    assert (figures["fitted"], figures["classes_never_predicted"]) == (False, 1)
    assert (of_full({})["fitted"], of_full({})["classes_never_predicted"]) == (True, 0)


def test_what_takes_no_cached_features_has_no_part_in_the_frozen_pass():
    training = {
        "features": {"seconds": 40.0},
        "full": {"train_seconds": 60.5, "cached_features": True},
        "scratch": {"train_seconds": 70.5, "cached_features": False},
    }
    rows = pd.DataFrame(condition(variant, 1, 0.8) for variant in ("full", "scratch"))
    figures = headlines(CALIBRATION | {"scratch": CALIBRATION["full"]}, rows, training)
    assert (figures["full"]["train_seconds"], figures["scratch"]["train_seconds"]) == (100.5, 70.5)


def test_the_per_class_table_has_a_row_for_each_variant_and_class():
    cat, dog = per_class_table(CALIBRATION).to_dict("records")
    assert cat == {"variant": "full", "class": "cat", "precision": 0.8, "recall": 0.7, "f1": 0.75, "support": 10}
    assert (dog["class"], dog["support"]) == ("dog", 20)


def conformal_rows(group, severity, coverage, answered, wrong):
    place = {"variant": "full", "group": group, "severity": severity, "target": 0.9}
    measures = {"coverage": coverage, "size": 2 * coverage, "singletons": 0.5, "empty": 0.0}
    return place | {"score": "lac"} | measures, place | {"answered": answered, "wrong": wrong}


def test_sets_and_answers_are_averaged_over_the_conditions_that_count_and_over_those_held_out():
    rows = [
        conformal_rows("clean", 0, 0.9, 0.8, 0.1),
        conformal_rows("benchmark", 1, 0.8, 0.6, 0.2),
        conformal_rows("benchmark", 5, 0.4, 0.2, 0.6),
        conformal_rows("held_out", 5, 0.3, 0.0, None),
    ]
    sets, answers = (pd.DataFrame(of) for of in zip(*rows, strict=True))
    sets = pd.concat([sets, sets.assign(variant="fc", coverage=0.0)])
    found = under_corruption("full", sets, answers)
    assert list(found) == ["corrupted", "held_out"]
    (of_sets,), (of_answers,) = found["corrupted"]["sets"], found["corrupted"]["answers"]
    assert (of_sets["coverage"], of_sets["size"]) == (pytest.approx(0.6), pytest.approx(1.2))
    assert of_answers == {
        "target": 0.9,
        "answered": pytest.approx(0.4),
        "wrong": pytest.approx((0.6 * 0.2 + 0.2 * 0.6) / 0.8),
    }
    assert found["held_out"]["answers"] == [{"target": 0.9, "answered": 0.0, "wrong": None}]


def test_without_corruptions_held_out_there_is_nothing_to_say_of_them():
    sets, answers = (pd.DataFrame([of]) for of in conformal_rows("benchmark", 1, 0.8, 0.6, 0.2))
    assert list(under_corruption("full", sets, answers)) == ["corrupted"]


def test_errors_are_pooled_over_all_answers():
    answers = pd.DataFrame({"answered": [0.5, 0.25, 0.0], "wrong": [0.1, 0.4, None]})
    assert pooled_errors(answers) == pytest.approx((0.05 + 0.1) / 0.75)
    assert pooled_errors(answers[2:]) is None


def test_the_headline_sets_are_lac_s_of_the_highest_coverage():
    def sets(lower):
        return [
            {"score": score, "target": target, "coverage": target - lower - (score == "aps"), "size": 1 + lower}
            for score in ("lac", "aps")
            for target in (0.95, 0.9)
        ]

    assert beyond_confidence({"sets": sets(0), "corrupted": {"sets": sets(0.25)}}, {"energy": 0.8}) == {
        "set_coverage": 0.95,
        "set_size": 1,
        "corrupted_set_coverage": pytest.approx(0.7),
        "corrupted_set_size": 1.25,
        "ood_auroc": 0.8,
    }


def test_the_auroc_is_averaged_over_the_sets():
    rows = [("fc", "energy", 0.9), ("fc", "energy", 0.7), ("fc", "mahalanobis", 0.1), ("full", "energy", 0.5)]
    found = mean_auroc(pd.DataFrame(rows, columns=["variant", "score", "auroc"]))
    assert found == {"fc": {"energy": pytest.approx(0.8), "mahalanobis": 0.1}, "full": {"energy": 0.5}}
