import pandas as pd
import pytest

from study.reporting.shift_figures import adaptation_figure, interpolation_figure


def measured(variant, corruption, severity, accuracy_by_size):
    return [
        {"variant": variant, "corruption": corruption, "group": "benchmark" if severity else "clean"}
        | {"severity": severity, "batch_size": size, "accuracy": accuracy}
        for size, accuracy in accuracy_by_size.items()
    ]


@pytest.fixture
def rows():
    """Two variants: adaptation helps with noise, not with JPEG. At 8 images at a time, severity 5 alone is measured."""
    table = []
    for variant, worse in (("fc", 0.1), ("full", 0.0)):
        table += measured(variant, "clean", 0, {0: 0.9, 8: 0.8, 500: 0.9})
        table += measured(variant, "noise", 1, {0: 0.8 - worse, 500: 0.8})
        table += measured(variant, "noise", 5, {0: 0.2, 8: 0.4, 500: 0.6})
        table += measured(variant, "jpeg", 5, {0: 0.5, 8: 0.3, 500: 0.4})
    return pd.DataFrame(table)


def test_each_variant_goes_from_its_mean_as_learned_to_its_mean_as_adapted(rows):
    panel, _, _ = adaptation_figure(rows).axes
    ends = [list(line.get_xdata()) for line in panel.lines if line.get_marker() == "None"]
    assert ends == [
        pytest.approx([(0.7 + 0.2 + 0.5) / 3, (0.8 + 0.6 + 0.4) / 3]),
        pytest.approx([(0.8 + 0.2 + 0.5) / 3, (0.8 + 0.6 + 0.4) / 3]),
    ]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["fc", "full"]


def test_the_batch_sizes_are_compared_where_all_were_measured(rows):
    _, panel, _ = adaptation_figure(rows).axes
    curve, learned = panel.lines[:2]
    assert list(curve.get_xdata()) == [8, 500]
    assert list(curve.get_ydata()) == pytest.approx([(0.4 + 0.3) / 2, (0.6 + 0.4) / 2])
    assert list(learned.get_ydata()) == pytest.approx(2 * [(0.2 + 0.5) / 2])
    assert panel.get_title() == "at severity 5"


def test_a_corruption_that_gets_worse_stands_left_of_zero(rows):
    *_, panel = adaptation_figure(rows).axes
    fc, full = panel.lines[:2]
    names = [label.get_text() for label in panel.get_yticklabels()]
    assert names == ["jpeg", "noise"]
    assert list(fc.get_xdata()) == pytest.approx([-10, 100 * ((0.8 + 0.6) - (0.7 + 0.2)) / 2])
    assert list(full.get_xdata()) == pytest.approx([-10, 100 * ((0.8 + 0.6) - (0.8 + 0.2)) / 2])


@pytest.mark.parametrize("held_out", [False, True])
def test_the_line_runs_from_fc_to_full_with_a_curve_for_each_kind_of_image(held_out):
    table = pd.DataFrame({"share": [0.0, 0.25, 1.0]})
    kinds = {"": 0.9, "corrupted_": 0.7} | ({"held_out_": 0.6} if held_out else {})
    for kind, accuracy in kinds.items():
        table[f"{kind}accuracy"] = [accuracy, accuracy + 0.05, accuracy + 0.1]
        table[f"{kind}ece"] = [0.1, 0.05, 0.02]
    left, right = interpolation_figure(table).axes
    assert [label.get_text() for label in left.get_xticklabels()] == ["fc", "0.25", "full"]
    assert [list(line.get_ydata()) for line in left.lines] == [
        pytest.approx([start, start + 0.05, start + 0.1]) for start in kinds.values()
    ]
    assert [list(line.get_ydata()) for line in right.lines] == len(kinds) * [[0.1, 0.05, 0.02]]
    assert right.get_ylim()[0] == 0
