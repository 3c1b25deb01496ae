from io import BytesIO

import pytest
from matplotlib.colors import to_rgba

from stages.common.figures import OVER, PALE, UNDER, corruption_figure, reliability_figure, save_png

SUMMARY = {
    "fc": {"ece_before": 0.1234, "ece_after": 0.0567},
    "full": {"ece_before": 0.0345, "ece_after": 0.0089},
}


def bins(variant, calibration, *accuracies, counts=(0, 5, 995)):
    """Three bins; text cells as they are read from a CSV, empty where nothing was measured."""
    return [
        {
            "variant": variant,
            "calibration": calibration,
            "bin_lower": str(index / 3),
            "bin_upper": str((index + 1) / 3),
            "confidence": str((index + 0.5) / 3) if count else "",
            "accuracy": str(accuracy) if count else "",
            "count": str(count),
        }
        for index, (accuracy, count) in enumerate(zip(accuracies, counts, strict=True))
    ]


@pytest.fixture
def rows():
    return [row for v in SUMMARY for c in ("before", "after") for row in bins(v, c, 0, 0.9, 0.7)]


def test_each_panel_is_titled_with_the_ece_of_its_variant_and_side(rows):
    titles = [axes.get_title() for axes in reliability_figure(rows, SUMMARY).axes]
    assert titles == ["fc: ECE 0.1234", "full: ECE 0.0345", "fc: ECE 0.0567", "full: ECE 0.0089"]


def test_an_empty_bin_is_not_drawn_and_a_rare_one_is_pale(rows):
    axes = reliability_figure(rows, SUMMARY).axes[0]
    rare, rare_gap, _, common, common_gap, _ = axes.patches  # per bin: accuracy, gap, share of the images
    assert (rare.get_x(), rare.get_height(), rare.get_alpha()) == (pytest.approx(1 / 3), 0.9, PALE)
    assert (common.get_x(), common.get_height(), common.get_alpha()) == (pytest.approx(2 / 3), 0.7, 1)
    assert rare_gap.get_edgecolor() == to_rgba(UNDER, PALE)
    assert common_gap.get_edgecolor() == to_rgba(OVER)
    assert common_gap.get_height() == pytest.approx(2.5 / 3 - 0.7)


def test_a_missing_variant_leaves_the_others_their_panels(rows):
    figure = reliability_figure([row for row in rows if row["variant"] == "full"], SUMMARY)
    assert [axes.get_title() for axes in figure.axes] == ["full: ECE 0.0345", "full: ECE 0.0089"]


def test_accuracy_and_ece_are_drawn_by_severity_before_and_after():
    rows = [
        {"variant": "full", "severity": severity, "accuracy": 0.9 - severity / 10, "ece_before": 0.2, "ece_after": 0.1}
        for severity in range(3)
    ]
    accuracy, ece = corruption_figure(rows).axes
    assert list(accuracy.lines[0].get_ydata()) == pytest.approx([0.9, 0.8, 0.7])
    assert [list(line.get_ydata()) for line in ece.lines] == [[0.2] * 3, [0.1] * 3]
    assert [label.get_text() for label in ece.get_xticklabels()] == ["clean", "1", "2"]


def test_a_picture_is_the_same_bytes_every_time(rows, tmp_path):
    for name in ("one.png", "two.png"):
        save_png(reliability_figure(rows, SUMMARY), tmp_path / name)
    content = (tmp_path / "one.png").read_bytes()
    assert content == (tmp_path / "two.png").read_bytes()
    assert BytesIO(content).read(8) == b"\x89PNG\r\n\x1a\n"
