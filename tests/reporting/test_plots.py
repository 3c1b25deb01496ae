import pandas as pd
import pytest

from study.reporting.plots import MEAN, confusion_table, corruption_table, learning_curves_table


def seen(variant, actual, predicted):
    return {"variant": variant, "actual": actual, "predicted": predicted}


def condition(variant, corruption, severity, accuracy, group="benchmark"):
    place = {"variant": variant, "corruption": corruption, "group": group, "severity": severity, "images": 50}
    names = ("ece_before", "ece_after", "ece_null_mean", "ece_null_upper")
    errors = {name: accuracy / 10**power for power, name in enumerate(names, start=1)}
    return {**place, "accuracy": accuracy, **errors}


def test_a_confusion_cell_is_a_share_of_its_actual_class():
    rows = [seen("fc", "cat", "cat"), seen("fc", "cat", "dog"), seen("fc", "cat", "cat"), seen("fc", "dog", "dog")]
    cells = confusion_table(pd.DataFrame(rows), ["cat", "dog"]).set_index(["actual", "predicted"])
    assert cells.loc[("cat", "cat"), ["count", "share"]].tolist() == [2, 2 / 3]
    assert cells.loc[("cat", "dog"), ["count", "share"]].tolist() == [1, 1 / 3]
    assert cells.loc[("dog", "cat"), ["count", "share"]].tolist() == [0, 0]


def test_a_class_without_test_images_has_shares_of_zero():
    cells = confusion_table(pd.DataFrame([seen("fc", "cat", "cat")]), ["cat", "dog"])
    assert cells["share"].tolist() == [1, 0, 0, 0]


def test_variants_are_not_mixed_and_classes_keep_their_order():
    rows = [seen("layer4", "dog", "dog"), seen("fc", "dog", "ant")]
    cells = confusion_table(pd.DataFrame(rows), ["dog", "ant"])
    assert cells[["variant", "actual", "predicted"]].to_numpy().tolist()[:4] == [
        ["layer4", "dog", "dog"],
        ["layer4", "dog", "ant"],
        ["layer4", "ant", "dog"],
        ["layer4", "ant", "ant"],
    ]
    assert cells["count"].tolist() == [1, 0, 0, 0, 0, 1, 0, 0]


def test_every_curve_starts_from_the_clean_images_and_the_mean_comes_first():
    rows = [
        condition("fc", "clean", 0, 0.9),
        condition("fc", "fog", 1, 0.8),
        condition("fc", "snow", 1, 0.4),
    ]
    table = corruption_table(pd.DataFrame(rows))
    points = list(zip(table["corruption"], table["severity"], strict=True))
    assert points == [(MEAN, 0), (MEAN, 1), ("fog", 0), ("fog", 1), ("snow", 0), ("snow", 1)]
    assert table["accuracy"].tolist() == pytest.approx([0.9, (0.8 + 0.4) / 2, 0.9, 0.8, 0.9, 0.4])
    assert table["ece_after"][1] == pytest.approx((0.8 + 0.4) / 2 / 100)


def test_the_mean_leaves_out_what_is_not_the_benchmark_s_and_its_curve_is_drawn_all_the_same():
    rows = [
        condition("fc", "clean", 0, 0.9, "clean"),
        condition("fc", "fog", 1, 0.8),
        condition("fc", "ice", 1, 0, "own"),
    ]
    table = corruption_table(pd.DataFrame(rows)).set_index(["corruption", "severity"])
    assert (table["accuracy"][MEAN, 1], table["accuracy"]["ice", 1]) == (0.8, 0)
    assert (table["group"][MEAN, 1], table["group"]["ice", 0]) == ("benchmark", "own")


def test_a_variant_without_some_corruption_keeps_its_own_mean():
    rows = [
        condition("fc", "clean", 0, 0.9),
        condition("fc", "fog", 1, 0.8),
        condition("full", "clean", 0, 1.0),
        condition("full", "snow", 1, 0.6),
    ]
    table = corruption_table(pd.DataFrame(rows))
    means = table[table["corruption"] == MEAN].set_index(["variant", "severity"])["accuracy"]
    assert means.to_dict() == {("fc", 0): 0.9, ("fc", 1): 0.8, ("full", 0): 1.0, ("full", 1): 0.6}
    assert set(table[table["variant"] == "full"]["corruption"]) == {MEAN, "snow"}


def test_epochs_are_counted_on_from_phase_to_phase_and_anew_for_each_variant():
    curve = [("fc", "head", 1), ("fc", "head", 2), ("full", "head", 1), ("full", "full", 1), ("full", "full", 2)]
    table = learning_curves_table(pd.DataFrame(curve, columns=["variant", "phase", "epoch"]))
    assert table["epoch"].tolist() == [1, 2, 1, 2, 3]
    assert table["phase"].tolist() == ["head", "head", "head", "full", "full"]
