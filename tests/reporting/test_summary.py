import pandas as pd
import pytest

from study.reporting.summary import per_class_table, summarise, under_shift

MEASURED = {"accuracy": 0.9, "nll": 0.4, "brier": 0.2, "ece": 0.05, "macro_f1": 0.89}
CALIBRATION = {
    "full": {
        "temperature": 1.5,
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
    training = {"features": {"seconds": 40.0}, "full": {"train_seconds": 60.5}}
    figures = summarise(CALIBRATION, pd.DataFrame(rows), training)["full"]
    assert figures["corrupted_accuracy"] == pytest.approx((0.8 + 0.4) / 2)
    assert figures["corrupted_ece_before"] == pytest.approx((0.4 + 0.2) / 2)
    assert figures["corrupted_ece_after"] == pytest.approx((0.2 + 0.1) / 2)


def test_the_corrupted_means_count_what_is_not_the_benchmark_s_only_where_nothing_is():
    training = {"features": {"seconds": 40.0}, "full": {"train_seconds": 60.5}}
    own = condition("full", 5, 0.4, group="own")
    both = summarise(CALIBRATION, pd.DataFrame([condition("full", 1, 0.8), own]), training)
    alone = summarise(CALIBRATION, pd.DataFrame([own]), training)
    assert (both["full"]["corrupted_accuracy"], alone["full"]["corrupted_accuracy"]) == (0.8, 0.4)


def test_the_held_out_means_stand_beside_what_adaptation_changes():
    adapted = {"change": {"accuracy": {"difference": 0.1}, "ece": {"difference": -0.02}}}
    held_out = {"accuracy": {"mean": 0.7}, "ece": {"mean": 0.04}}
    changes = {"adapted_accuracy_change": 0.1, "adapted_ece_change": -0.02}
    assert under_shift({"adapted": adapted}) == changes
    means = {"held_out_accuracy": 0.7, "held_out_ece": 0.04}
    assert under_shift({"held_out": held_out, "adapted": adapted}) == means | changes


def test_every_figure_comes_from_its_side_of_the_scaling():
    training = {"features": {"seconds": 40.0}, "full": {"train_seconds": 60.5}}
    figures = summarise(CALIBRATION, pd.DataFrame([condition("full", 1, 0.8)]), training)["full"]
    assert (figures["ece_before"], figures["ece_after"]) == (0.08, 0.05)
    assert (figures["nll_before"], figures["nll_after"]) == (0.6, 0.4)
    assert (figures["accuracy"], figures["brier_after"], figures["macro_f1"]) == (0.9, 0.2, 0.89)
    assert (figures["temperature"], figures["train_seconds"]) == (1.5, 40.0 + 60.5)


def test_what_is_not_fine_tuned_has_no_share_in_the_frozen_pass():
    training = {"features": {"seconds": 40.0}, "full": {"train_seconds": 60.5}, "scratch": {"train_seconds": 70.5}}
    rows = pd.DataFrame(condition(variant, 1, 0.8) for variant in ("full", "scratch"))
    figures = summarise(CALIBRATION | {"scratch": CALIBRATION["full"]}, rows, training)
    assert (figures["full"]["train_seconds"], figures["scratch"]["train_seconds"]) == (100.5, 70.5)


def test_the_per_class_table_has_a_row_for_each_variant_and_class():
    cat, dog = per_class_table(CALIBRATION).to_dict("records")
    assert cat == {"variant": "full", "class": "cat", "precision": 0.8, "recall": 0.7, "f1": 0.75, "support": 10}
    assert (dog["class"], dog["support"]) == ("dog", 20)
