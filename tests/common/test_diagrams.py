import pytest

from stages.common.diagrams import MEAN, confusion_table, corruption_table, learning_curves_table


def seen(variant, actual, predicted):
    return {"variant": variant, "actual": actual, "predicted": predicted}


def condition(variant, corruption, severity, accuracy, group="benchmark"):
    place = {"variant": variant, "corruption": corruption, "group": group, "severity": str(severity), "images": "50"}
    names = ("ece_before", "ece_after", "ece_null_mean", "ece_null_upper")
    errors = {name: str(accuracy / 10**power) for power, name in enumerate(names, start=1)}
    return {**place, "accuracy": str(accuracy), **errors}


def test_a_confusion_cell_is_a_share_of_its_actual_class():
    rows = [seen("fc", "cat", "cat"), seen("fc", "cat", "dog"), seen("fc", "cat", "cat"), seen("fc", "dog", "dog")]
    cells = {(cell["actual"], cell["predicted"]): cell for cell in confusion_table(rows, ["cat", "dog"])}
    assert (cells["cat", "cat"]["count"], cells["cat", "cat"]["share"]) == (2, 2 / 3)
    assert (cells["cat", "dog"]["count"], cells["cat", "dog"]["share"]) == (1, 1 / 3)
    assert (cells["dog", "cat"]["count"], cells["dog", "cat"]["share"]) == (0, 0)


def test_variants_are_not_mixed_and_classes_keep_their_order():
    rows = [seen("layer4", "dog", "dog"), seen("fc", "dog", "ant")]
    cells = confusion_table(rows, ["dog", "ant"])
    assert [(cell["variant"], cell["actual"], cell["predicted"]) for cell in cells][:4] == [
        ("layer4", "dog", "dog"),
        ("layer4", "dog", "ant"),
        ("layer4", "ant", "dog"),
        ("layer4", "ant", "ant"),
    ]
    assert [cell["count"] for cell in cells] == [1, 0, 0, 0, 0, 1, 0, 0]


def test_every_curve_starts_from_the_clean_images_and_the_mean_comes_first():
    rows = [
        condition("fc", "clean", 0, 0.9),
        condition("fc", "fog", 1, 0.8),
        condition("fc", "snow", 1, 0.4),
    ]
    points = [(row["corruption"], row["severity"]) for row in corruption_table(rows)]
    assert points == [(MEAN, 0), (MEAN, 1), ("fog", 0), ("fog", 1), ("snow", 0), ("snow", 1)]
    accuracies = [row["accuracy"] for row in corruption_table(rows)]
    assert accuracies == pytest.approx([0.9, (0.8 + 0.4) / 2, 0.9, 0.8, 0.9, 0.4])
    assert corruption_table(rows)[1]["ece_after"] == pytest.approx((0.8 + 0.4) / 2 / 100)


def test_the_mean_leaves_out_what_is_not_the_benchmark_s_and_its_curve_is_drawn_all_the_same():
    rows = [
        condition("fc", "clean", 0, 0.9, "clean"),
        condition("fc", "fog", 1, 0.8),
        condition("fc", "ice", 1, 0, "own"),
    ]
    table = {(row["corruption"], row["severity"]): row for row in corruption_table(rows)}
    assert (table[MEAN, 1]["accuracy"], table["ice", 1]["accuracy"]) == (0.8, 0)
    assert (table[MEAN, 1]["group"], table["ice", 0]["group"]) == ("benchmark", "own")


def test_a_variant_without_some_corruption_keeps_its_own_mean():
    rows = [
        condition("fc", "clean", 0, 0.9),
        condition("fc", "fog", 1, 0.8),
        condition("full", "clean", 0, 1.0),
        condition("full", "snow", 1, 0.6),
    ]
    means = {(row["variant"], row["severity"]): row["accuracy"] for row in corruption_table(rows)[:2]}
    assert means == {("fc", 0): 0.9, ("fc", 1): 0.8}
    assert {row["corruption"] for row in corruption_table(rows) if row["variant"] == "full"} == {MEAN, "snow"}


def test_epochs_are_counted_on_from_phase_to_phase_and_anew_for_each_variant():
    curve = [("fc", "head", 1), ("fc", "head", 2), ("full", "head", 1), ("full", "full", 1), ("full", "full", 2)]
    rows = [{"variant": variant, "phase": phase, "epoch": str(epoch)} for variant, phase, epoch in curve]
    assert [row["epoch"] for row in learning_curves_table(rows)] == [1, 2, 1, 2, 3]
    assert [row["phase"] for row in learning_curves_table(rows)] == ["head", "head", "head", "full", "full"]
