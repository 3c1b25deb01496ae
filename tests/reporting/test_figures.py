from io import BytesIO

import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from study.reporting.figures import (
    COLOURS,
    GREY,
    MARKERS,
    OVER,
    PALE,
    UNDER,
    by_corruption_figure,
    corruption_figure,
    corruption_map_figure,
    reliability_figure,
    save_png,
    styles,
)

CHANCE = {"null": {"ece": {"mean": 0.0046, "upper": 0.0066}}}
CALIBRATION = {
    "fc": {"before": {"ece": 0.1234, **CHANCE}, "after": {"ece": 0.0567, **CHANCE}},
    "full": {"before": {"ece": 0.0345, **CHANCE}, "after": {"ece": 0.0089, **CHANCE}},
}


def bins(variant, calibration, *accuracies, counts=(0, 5, 995)):
    """Three bins; no accuracy and confidence where nothing was measured."""
    return [
        {
            "variant": variant,
            "calibration": calibration,
            "bin_lower": index / 3,
            "bin_upper": (index + 1) / 3,
            "confidence": (index + 0.5) / 3 if count else None,
            "accuracy": accuracy if count else None,
            "count": count,
        }
        for index, (accuracy, count) in enumerate(zip(accuracies, counts, strict=True))
    ]


@pytest.fixture
def rows():
    return pd.DataFrame(row for v in CALIBRATION for c in ("before", "after") for row in bins(v, c, 0, 0.9, 0.7))


def test_each_panel_is_titled_with_the_ece_of_its_variant_and_side(rows):
    titles = [axes.get_title() for axes in reliability_figure(rows, CALIBRATION).axes]
    assert titles == ["fc: ECE 0.1234", "full: ECE 0.0345", "fc: ECE 0.0567", "full: ECE 0.0089"]


def test_an_empty_bin_is_not_drawn_and_a_rare_one_is_pale(rows):
    axes = reliability_figure(rows, CALIBRATION).axes[0]
    rare, rare_gap, _, common, common_gap, _ = axes.patches  # per bin: accuracy, gap, share of the images
    assert (rare.get_x(), rare.get_height(), rare.get_alpha()) == (pytest.approx(1 / 3), 0.9, PALE)
    assert (common.get_x(), common.get_height(), common.get_alpha()) == (pytest.approx(2 / 3), 0.7, 1)
    assert rare_gap.get_edgecolor() == to_rgba(UNDER, PALE)
    assert common_gap.get_edgecolor() == to_rgba(OVER)
    assert common_gap.get_height() == pytest.approx(2.5 / 3 - 0.7)


def test_a_missing_variant_leaves_the_others_their_panels(rows):
    figure = reliability_figure(rows[rows["variant"] == "full"], CALIBRATION)
    assert [axes.get_title() for axes in figure.axes] == ["full: ECE 0.0345", "full: ECE 0.0089"]


def test_what_chance_alone_gives_stands_under_each_title(rows):
    (text,) = reliability_figure(rows, CALIBRATION).axes[0].texts
    assert text.get_text() == "by chance alone 0.0046, rarely above 0.0066"


def measured(accuracy, before, after, chance=0.02):
    return {"accuracy": accuracy, "ece_before": before, "ece_after": after, "ece_null_mean": chance}


def test_accuracy_and_ece_are_drawn_by_severity_with_what_chance_gives_each_variant():
    robustness = {
        variant: {
            "by_severity": {"0": measured(0.9, 0.2, 0.1, chance), "1": measured(0.8, 0.3, 0.15, 0.01)},
            "corrupted": measured(0.8, 0.3, 0.15),
        }
        for variant, chance in (("fc", 0.02), ("full", 0.03))
    }
    accuracy, before, after = corruption_figure(robustness).axes
    assert [list(line.get_ydata()) for line in accuracy.lines] == 2 * [[0.9, 0.8]]
    assert [list(line.get_ydata()) for line in before.lines] == 2 * [[0.2, 0.3]]
    assert [list(line.get_ydata()) for line in after.lines] == [[0.1, 0.15], [0.02, 0.01], [0.1, 0.15], [0.03, 0.01]]
    assert [label.get_text() for label in after.get_xticklabels()] == ["clean", "1"]
    assert accuracy.get_legend_handles_labels()[1] == ["fc: 80.0 %", "full: 80.0 %"]


def condition(corruption, group, severity, accuracy, ece):
    place = {"variant": "full", "corruption": corruption, "group": group, "severity": severity}
    return place | {"accuracy": accuracy, "ece_after": ece, "ece_null_upper": 0.02}


def test_the_map_has_a_cell_per_condition_and_leaves_white_what_chance_may_give():
    rows = [
        condition("clean", "clean", 0, 0.9, 0.01),
        *(condition("ice", "own", severity, 0.5, 0.03) for severity in (1, 2)),
        *(condition("fog_bank", "benchmark", severity, 0.8, severity / 100 + 0.005) for severity in (1, 2)),
    ]
    accuracy, ece = corruption_map_figure(pd.DataFrame(rows)).axes
    assert [label.get_text() for label in accuracy.get_yticklabels()] == ["fog bank", "ice"]
    assert [text.get_text() for text in accuracy.texts] == ["80", "80", "50", "50"]
    assert [text.get_text() for text in ece.texts] == ["1.5", "2.5", "3.0", "3.0"]
    assert ece.images[0].get_array().mask.tolist() == [[True, False], [False, False]]


def test_published_accuracies_are_grey_and_absent_where_none_is_known():
    measured = {name: {"accuracy": accuracy, "group": "benchmark"} for name, accuracy in (("fog", 0.7), ("ice", 0.8))}
    robustness = {"full": {"by_corruption": measured}}
    published = {"WRN": {"by_corruption": {"fog": 0.9}}}
    known, ours = by_corruption_figure(robustness, published).axes[0].lines
    assert (known.get_color(), known.get_label(), ours.get_label()) == (GREY, "published: WRN", "full")
    assert list(known.get_xdata()) == [0.9, None]
    assert list(ours.get_xdata()) == [0.7, 0.8]


def test_families_stand_together_and_in_each_what_costs_least_comes_first():
    accuracies = {"ripple": (0.9, "held_out"), "shot_noise": (0.6, "benchmark"), "fog": (0.7, "benchmark")}
    accuracies |= {"speckle_noise": (0.8, "extra"), "occlusion": (0.5, "own"), "frost": (0.75, "own")}
    measured = {name: {"accuracy": accuracy, "group": group} for name, (accuracy, group) in accuracies.items()}
    axes = by_corruption_figure({"full": {"by_corruption": measured}}, {}).axes[0]
    lines = [label.get_text() for label in axes.get_yticklabels()]
    assert lines == ["speckle noise", "shot noise", "frost", "fog", "occlusion", "ripple"]
    assert [text.get_text() for text in axes.texts] == ["noise", "weather", "own", "held out"]
    top, bottom = sorted(axes.get_ylim(), reverse=True)
    assert axes.get_ylim() == (top, bottom)  # the first line is at the top


def test_a_picture_is_the_same_bytes_every_time(rows, tmp_path):
    for name in ("one.png", "two.png"):
        save_png(reliability_figure(rows, CALIBRATION), tmp_path / name)
    content = (tmp_path / "one.png").read_bytes()
    assert content == (tmp_path / "two.png").read_bytes()
    assert BytesIO(content).read(8) == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(("variants", "lines"), [(2, [2]), (5, [3, 2]), (7, [4, 3])])
def test_many_variants_take_several_lines_of_panels(variants, lines):
    names = [f"variant{place}" for place in range(variants)]
    calibration = dict.fromkeys(names, CALIBRATION["full"])
    table = pd.DataFrame(row for v in names for c in ("before", "after") for row in bins(v, c, 0, 0.9, 0.7))
    titled = [axes for axes in reliability_figure(table, calibration).axes if axes.axison]
    assert len(titled) == 2 * variants
    assert sorted({axes.get_subplotspec().rowspan.start for axes in titled}) == list(range(2 * len(lines)))
    by_line = [sum(axes.get_subplotspec().rowspan.start == 2 * place for axes in titled) for place in range(len(lines))]
    assert by_line == lines


def test_no_two_series_of_a_study_look_alike():
    looks = styles(f"variant{place}" for place in range(20))
    assert len({tuple(style.values()) for style in looks.values()}) == 20
    assert len({style["color"] for style in list(looks.values())[:7]}) == 7
    assert len({style["marker"] for style in list(looks.values())[:7]}) == 7
    assert looks["variant0"] == {"color": COLOURS[0], "marker": MARKERS[0]}
