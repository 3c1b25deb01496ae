import pandas as pd
import pytest

from lab.experiments.figures import augmentation_figure, augmix_figure, data_size_figure, recipes_figure, systems_figure
from study.reporting.figures import PALE


def row(setting, images, accuracy, variant="full"):
    figures = {
        "accuracy": accuracy,
        "accuracy_low": accuracy - 0.01,
        "accuracy_high": accuracy + 0.02,
        "corrupted_accuracy": accuracy - 0.2,
        "ece_before": 0.1,
        "ece_after": 0.03,
        "ece_null_upper": 0.02,
    }
    return {"setting": setting, "train_images": images, "variant": variant} | figures


def places(axes, pale):
    """Of the single marks of an augmentation panel, left to right and line by line."""
    return [
        (pytest.approx(x), y)
        for line in axes.lines
        if line.get_marker() != "None" and (line.get_alpha() == PALE) == pale
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    ]


def test_each_setting_has_a_line_with_its_seeds_pale_and_their_mean_dark():
    rows = [row("none", 1000, 0.70), row("none", 1000, 0.72), row("plus_mixup", 1000, 0.75)]
    clean, corrupted, ece = augmentation_figure(pd.DataFrame(rows)).axes
    assert [label.get_text() for label in clean.get_yticklabels()] == ["none", "+ mixup"]
    assert places(clean, pale=True) == [(0.70, 0), (0.72, 0), (0.75, 1)]
    assert places(clean, pale=False) == [(0.71, 0), (0.75, 1)]
    assert places(corrupted, pale=False) == [(0.51, 0), (0.55, 1)]
    assert places(ece, pale=False) == [(0.1, 0), (0.03, 0), (0.1, 1), (0.03, 1)]


def test_an_interval_lies_around_each_accuracy_and_what_chance_gives_behind_each_ece():
    clean, _, ece = augmentation_figure(pd.DataFrame([row("none", 1000, 0.70), row("none", 1000, 0.72)])).axes
    assert list(clean.lines[0].get_xdata()) == pytest.approx([0.71 - 0.01, 0.71 + 0.02])
    (bar,) = ece.patches
    assert bar.get_width() == pytest.approx(0.02)


def test_each_variant_goes_from_its_figures_without_augmix_to_those_with_it():
    rows = [
        row(setting, 1000, accuracy, variant) | {"corrupted_ece_after": 1 - accuracy}
        for setting, variant, accuracy in (
            ("plain", "fc", 0.7),
            ("plain", "full", 0.9),
            ("augmix", "fc", 0.6),
            ("augmix", "full", 0.95),
        )
    ]
    clean, corrupted, ece = augmix_figure(pd.DataFrame(rows)).axes
    assert [label.get_text() for label in clean.get_yticklabels()] == ["fc", "full"]
    for axes, ends in (
        (clean, [(0.7, 0.6), (0.9, 0.95)]),
        (corrupted, [(0.5, 0.4), (0.7, 0.75)]),
        (ece, [(0.3, 0.4), (0.1, 0.05)]),
    ):
        found = [line.get_xdata() for line in axes.lines if line.get_marker() == "None"]
        assert [tuple(of) for of in found] == [pytest.approx(of) for of in ends]


def test_a_setting_that_failed_leaves_its_marks_out():
    rows = [row("augmix", 1000, 0.6, "fc") | {"corrupted_ece_after": 0.1}]
    for axes in augmix_figure(pd.DataFrame(rows)).axes:
        drawn = [line for line in axes.lines if line.get_marker() != "None" and pd.notna(line.get_xdata()).all()]
        assert len(drawn) == 1


def test_each_variant_has_a_curve_of_means_over_the_training_images_it_was_given():
    rows = [
        row("1k", 1000, 0.6, "fc"),
        row("1k", 1000, 0.5),
        row("1k", 1000, 0.7),
        row("10k", 10000, 0.8),
    ]
    clean, corrupted, ece = data_size_figure(pd.DataFrame(rows)).axes
    for axes, means in ((clean, [[0.6], [0.6, 0.8]]), (corrupted, [[0.4], [0.4, 0.6]])):
        curves = [line for line in axes.lines if line.get_alpha() is None]
        assert [list(line.get_xdata()) for line in curves] == [[1000], [1000, 10000]]
        assert [list(line.get_ydata()) for line in curves] == [pytest.approx(of_curve) for of_curve in means]
        assert [label.get_text() for label in axes.get_xticklabels()] == ["1,000", "10,000"]
    chance = [line for line in ece.lines if line.get_linestyle() == ":"]
    assert [list(line.get_ydata()) for line in chance] == [[0.02], [0.02, 0.02]]


def test_the_names_of_curves_that_end_together_stand_apart():
    rows = [row("1k", 1000, accuracy, name) for name, accuracy in (("fc", 0.6), ("full", 0.9), ("scratch", 0.901))]
    clean, *_ = data_size_figure(pd.DataFrame(rows)).axes
    low, high = clean.get_ylim()
    assert [label.get_text() for label in clean.texts] == ["fc", "full", "scratch"]
    assert [label.xy[1] for label in clean.texts] == pytest.approx([0.6, 0.9, 0.9 + 0.05 * (high - low)])


def test_each_recipe_is_named_at_its_accuracy_and_its_seconds():
    rows = [
        {"setting": "64px_4", "train_seconds": 100.0, "val_accuracy": 0.8},
        {"setting": "64to96px_8", "train_seconds": 300.0, "val_accuracy": 0.9},
    ]
    (axes,) = recipes_figure(pd.DataFrame(rows)).axes
    (marks,) = axes.lines
    assert list(zip(marks.get_xdata(), marks.get_ydata(), strict=True)) == [(100, 0.8), (300, 0.9)]
    named = [(label.get_text(), label.xy) for label in axes.texts]
    assert named == [("64 px, 4 epochs", (100, 0.8)), ("64 to 96 px, 8 epochs", (300, 0.9))]


def test_each_system_has_a_line_through_its_variants():
    rows = [
        row(setting, 1000, accuracy, variant) | {"train_seconds": took}
        for setting, variant, accuracy, took in (
            ("resnet18", "fc", 0.8, 100),
            ("resnet18", "full", 0.9, 1000),
            ("resnet18", "scratch", 0.95, 2000),
            ("mobilenet_v2", "fc", 0.5, 50),
        )
    ]
    (axes,) = systems_figure(pd.DataFrame(rows)).axes
    joined = {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}
    assert list(joined) == ["resnet18, 1,000 images", "light network, 1,000 images", "mobilenet v2, 1,000 images"]
    assert list(joined["resnet18, 1,000 images"].get_xdata()) == [100, 1000]
    assert list(joined["resnet18, 1,000 images"].get_ydata()) == [0.8, 0.9]
    assert [handle.get_label() for handle in axes.figure.legends[0].legend_handles][3:] == ["fc", "full", "scratch"]
