import numpy as np
import pytest

from study.attribution.summary import RESAMPLES, mean_areas, mean_interval, randomisation_steps, summarise
from study.evaluation.bootstrap import bootstrap, interval

METHODS = ["grad_cam", "hirescam", "layer_cam"]


@pytest.fixture
def noise():
    return np.random.default_rng(0).normal(scale=0.01, size=100)


def summary(noise, deletion=-0.1, insertion=0.1, head=0.1, network=0.0):
    """Of three methods whose areas are off both baselines' by what is given, and whose maps are as alike as given."""
    areas = {method: {"deletion": 0.5 + deletion + noise, "insertion": 0.5 + insertion + noise} for method in METHODS}
    spread = np.linspace(-0.5, 0.5, 100)  # what images differ by, the same for all: pairing cancels it
    areas |= {name: {"deletion": 0.5 + spread, "insertion": 0.5 + spread} for name in ("random", "centre")}
    for method in METHODS:
        areas[method] = {measure: values + spread for measure, values in areas[method].items()}
    correlations = {
        layer: {method: value + noise for method in METHODS}
        for layer, value in {"head": head, "layer4.1": 0.05, "conv1": network}.items()
    }
    return summarise(areas, correlations, {method: 0.25 + noise for method in METHODS})


def test_the_mean_s_interval_is_that_of_the_normal_theory():
    values = np.random.default_rng(0).normal(loc=3, scale=2, size=400)
    found = mean_interval(values)
    assert found["mean"] == values.mean()
    half = 1.96 * values.std() / 20
    assert found["low"] == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found["high"] == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_equal_values_have_an_interval_without_width():
    assert mean_interval(np.full(10, 0.5)) == {"mean": 0.5, "low": 0.5, "high": 0.5}


def test_the_interval_is_that_of_every_other_figure_of_the_study():
    values = np.random.default_rng(0).random(50)
    drawn = bootstrap({"mean": lambda weights: (weights * values).mean(axis=-1)}, 50, RESAMPLES, seed=0)["mean"]
    assert mean_interval(values) == {"mean": values.mean(), **interval(drawn)}


def test_areas_and_steps_are_summed_up_each_by_itself(noise):
    areas = {"centre": {"deletion": 0.25 + noise, "insertion": 0.75 + noise}}
    assert mean_areas(areas) == {
        "centre": {"deletion": mean_interval(0.25 + noise), "insertion": mean_interval(0.75 + noise)}
    }
    steps = randomisation_steps({layer: dict.fromkeys(METHODS, noise) for layer in ("head", "conv1")})
    assert steps["hirescam"] == [
        {"through": "head", "rank_correlation": mean_interval(noise)},
        {"through": "conv1", "rank_correlation": mean_interval(noise)},
    ]


def test_everything_is_there_for_every_method(noise):
    written = summary(noise)
    assert list(written["faithfulness"]) == [*METHODS, "random", "centre"]
    assert (
        list(written["over_baselines"]) == list(written["randomisation"]) == list(written["between_images"]) == METHODS
    )
    for of in written["over_baselines"].values():
        assert {measure: list(baselines) for measure, baselines in of.items()} == {
            "deletion": ["random", "centre"],
            "insertion": ["random", "centre"],
        }
    for rows in written["randomisation"].values():
        assert [row["through"] for row in rows] == ["head", "layer4.1", "conv1"]
    assert len(written["checks"]) == 3 * 2 + 3 * 2


def test_differences_are_paired_over_images(noise):
    """The images differ by up to 1 among themselves and the method from the baseline by 0.1 +- 0.01 on each."""
    difference = summary(noise)["over_baselines"]["grad_cam"]["deletion"]["random"]
    assert difference["difference"] == pytest.approx(-0.1 + noise.mean())
    assert -0.105 < difference["low"] < difference["difference"] < difference["high"] < -0.095
    unpaired = summary(noise)["faithfulness"]["grad_cam"]["deletion"]
    assert unpaired["high"] - unpaired["low"] > 0.1


@pytest.mark.parametrize(
    ("deletion", "insertion", "passed"),
    [(-0.1, 0.1, True), (0.0, 0.1, False), (-0.1, 0.0, False), (0.1, 0.1, False), (-0.1, -0.1, False)],
)
def test_a_baseline_is_beaten_when_both_areas_are_clearly_on_the_good_side(noise, deletion, insertion, passed):
    beats = summary(noise - noise.mean(), deletion, insertion)["checks"][:6]
    assert [check["passed"] for check in beats] == 6 * [passed]
    assert beats[1]["check"] == "Grad-CAM marks what the prediction hangs on better than the image's centre"
    assert f"deletion curve {deletion:+.3f} [" in beats[1]["detail"].replace("-0.000", "+0.000")


@pytest.mark.parametrize(
    ("head", "network", "passed"),
    [(0.1, 0.0, [True, True]), (0.7, 0.0, [False, True]), (0.1, 0.7, [True, False]), (0.499, 0.5, [False, False])],
)
def test_maps_that_stay_alike_without_what_was_learned_fail(noise, head, network, passed):
    checks = summary(noise, head=head, network=network)["checks"][6:]
    assert [check["passed"] for check in checks] == 3 * passed
    assert checks[-1]["check"] == "LayerCAM shows something else for an untrained network"
    assert "to be below 0.5; between different images 0.25 [0.25, 0.25]" in checks[-1]["detail"]
