import pandas as pd
import pytest

from study.reporting.uncertainty_figures import conformal_figure, ood_figure


def condition(variant, group, severity):
    name = "clean" if not severity else "ripple" if group == "held_out" else "fog"
    return {"variant": variant, "corruption": name, "group": group, "severity": severity}


CONDITIONS = [("clean", 0), ("benchmark", 1), ("benchmark", 5), ("held_out", 5)]


@pytest.fixture
def sets():
    """Two variants, two scores and two targets; coverage falls with severity, most under the corruption held out."""
    return pd.DataFrame(
        condition(variant, group, severity)
        | {"score": score, "target": target, "size": 1 + severity / 5}
        | {"coverage": target - severity / 20 - (score == "aps") / 10 - (group == "held_out") / 4}
        for variant in ("fc", "full")
        for score in ("lac", "aps")
        for target in (0.9, 0.95)
        for group, severity in CONDITIONS
    )


@pytest.fixture
def answers():
    return pd.DataFrame(
        condition(variant, group, severity) | {"target": target, "answered": 0.5, "wrong": target + severity / 10}
        for variant in ("fc", "full")
        for target in (0.01, 0.05)
        for group, severity in CONDITIONS
    )


def test_the_sets_of_the_highest_coverage_are_drawn_from_clean_to_severe_without_those_held_out(sets, answers):
    coverage, size, wrong = conformal_figure(sets, answers).axes
    curves = {line.get_label(): line for line in coverage.lines if not line.get_label().startswith("_")}
    assert list(curves) == ["fc", "full"]
    assert list(curves["fc"].get_xdata()) == [0, 1, 5]
    assert list(curves["fc"].get_ydata()) == pytest.approx([0.95, 0.90, 0.70])
    assert list(size.lines[0].get_ydata()) == pytest.approx([1, 1.2, 2])
    assert list(wrong.lines[0].get_ydata()) == pytest.approx([0.05, 0.15, 0.55])


def test_what_was_promised_is_a_dashed_line(sets, answers):
    coverage, size, wrong = conformal_figure(sets, answers).axes
    for axes, promised in ((coverage, [0.95]), (size, []), (wrong, [0.05])):
        assert [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == "--"] == promised


def test_answers_that_are_never_given_are_not_drawn(sets, answers):
    answers["wrong"] = None
    *_, wrong = conformal_figure(sets, answers.astype({"wrong": float})).axes
    assert all(pd.isna(line.get_ydata()).all() for line in wrong.lines if line.get_linestyle() == "-")


@pytest.mark.parametrize("names", [["digits"], ["digits", "shuffled_pieces", "noise"]])
def test_each_set_outside_has_a_panel_with_a_line_for_each_score(names):
    table = pd.DataFrame(
        {"variant": variant, "set": name, "score": score, "auroc": 0.5 + place / 10 + (score == "energy") / 5}
        for place, name in enumerate(names)
        for variant in ("fc", "full")
        for score in ("energy", "mahalanobis")
    )
    panels = [axes for axes in ood_figure(table).axes if axes.axison]
    assert [axes.get_title() for axes in panels] == [name.replace("_", " ") for name in names]
    for place, axes in enumerate(panels):
        assert list(axes.lines[0].get_xdata()) == pytest.approx([0.7 + place / 10, 0.5 + place / 10])
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["energy", "Mahalanobis"]
