from functools import partial

import numpy as np
import pytest

from study.evaluation import bootstrap as resampling
from study.evaluation.bootstrap import Resampled, bootstrap, difference, interval, null_band
from study.evaluation.calibration_errors import confidence_errors, equal_mass_ece
from study.evaluation.scores import resampled_scores
from study.evaluation.temperature import tempered_softmax


def mean_of(values, weights):
    return (weights * values).mean(axis=-1)


def test_every_sample_holds_as_many_images_as_there_are():
    drawn = bootstrap({"size": lambda weights: weights.sum(axis=-1)}, images=30, resamples=50, seed=0)["size"]
    assert drawn.estimate == 30
    assert drawn.draws.tolist() == [30] * 50


def test_each_image_is_drawn_as_often_as_another():
    """Once per sample on average, with the variance 1 - 1/N of a multinomial count."""
    fifth = bootstrap({"fifth": lambda weights: weights[..., 5]}, images=40, resamples=4000, seed=0)["fifth"].draws
    assert fifth.mean() == pytest.approx(1, abs=4 / np.sqrt(4000))
    assert fifth.var() == pytest.approx(1 - 1 / 40, rel=0.1)


def test_the_interval_of_a_mean_is_the_normal_one():
    values = np.random.default_rng(0).normal(3, 2, 1000)
    ends = interval(bootstrap({"mean": partial(mean_of, values)}, 1000, 4000, seed=0)["mean"])
    margin = 1.96 * values.std() / np.sqrt(1000)
    assert ends["low"] == pytest.approx(values.mean() - margin, abs=0.1 * margin)
    assert ends["high"] == pytest.approx(values.mean() + margin, abs=0.1 * margin)


def test_the_interval_of_draws_with_a_bias_of_their_own_holds_the_estimate():
    draws = np.linspace(10, 11, 101)
    assert interval(Resampled(2, draws)) == pytest.approx({"low": 2 - 0.475, "high": 2 + 0.475})


def test_one_seed_gives_two_models_the_same_samples():
    values = np.random.default_rng(0).random(200)
    first = bootstrap({"mean": partial(mean_of, values)}, 200, 50, seed=1)["mean"]
    second = bootstrap({"mean": partial(mean_of, values + 0.25)}, 200, 50, seed=1)["mean"]
    assert difference(first, second) == pytest.approx({"difference": 0.25, "low": 0.25, "high": 0.25})


def test_another_seed_gives_other_samples():
    values = np.random.default_rng(0).random(200)
    draws = [bootstrap({"mean": partial(mean_of, values)}, 200, 50, seed)["mean"].draws for seed in (0, 1)]
    assert not np.array_equal(*draws)


def test_the_draws_do_not_depend_on_how_many_fit_in_memory(monkeypatch):
    confidence = np.random.default_rng(0).random(100)

    def drawn():
        figures = bootstrap({"mean": partial(mean_of, confidence)}, 100, 30, seed=0)
        return figures["mean"].draws.tolist(), null_band(confidence, confidence_errors(5), 30, seed=0)

    at_once = drawn()
    monkeypatch.setattr(resampling, "CELLS", 700)
    assert drawn() == at_once


def outcomes(rng, images, temperature):
    """Logits of an accurate model, and labels drawn at this temperature."""
    logits = rng.normal(0, 3, (images, 10))
    logits[np.arange(images), rng.integers(0, 10, images)] += 8
    labels = (tempered_softmax(logits).cumsum(axis=1) < rng.random((images, 1))).sum(axis=1)
    return logits * temperature, labels


@pytest.mark.parametrize("name", ["nll", "ece", "classwise_ece"])
def test_the_interval_of_a_difference_covers_what_such_test_sets_show_on_average(name):
    """In 95 % of data sets: 3 standard errors of 120 are 6 %. The model is over-confident before, calibrated after."""
    rng, figures = np.random.default_rng(0), []
    for seed in range(120):
        logits, labels = outcomes(rng, 1000, temperature=1.3)
        before, after = (
            bootstrap({name: resampled_scores(logits, labels, temperature, 15)[name]}, 1000, 200, seed)[name]
            for temperature in (1.0, 1.3)
        )
        figures.append(difference(before, after))
    average = np.mean([figure["difference"] for figure in figures])
    assert average < 0
    assert np.mean([figure["low"] <= average <= figure["high"] for figure in figures]) >= 0.95 - 0.06


def test_the_interval_of_accuracy_covers_the_true_accuracy():
    """In 95 % of data sets: 3 standard errors of 300 are 4 %."""
    rng, covered = np.random.default_rng(0), []
    for seed in range(300):
        correct = rng.random(500) < 0.9
        ends = interval(bootstrap({"accuracy": partial(mean_of, correct)}, 500, 200, seed)["accuracy"])
        covered.append(ends["low"] <= 0.9 <= ends["high"])
    assert np.mean(covered) == pytest.approx(0.95, abs=0.04)


# (images, mean and upper end of ECE-15, the same of its form of equal mass) of a calibrated model of 94 % accuracy.
BANDS = [
    (1000, 0.0146, 0.0203, 0.0085, 0.0140),
    (5000, 0.0066, 0.0094, 0.0041, 0.0067),
    (10000, 0.0046, 0.0066, 0.0028, 0.0046),
]


@pytest.mark.parametrize(("images", "mean", "upper", "mean_of_equal_mass", "upper_of_equal_mass"), BANDS)
def test_a_calibrated_model_of_94_percent_shows_a_calibration_error(
    images, mean, upper, mean_of_equal_mass, upper_of_equal_mass
):
    """How large depends on how its confidences spread: the figures are to hold within a sixth for any such model."""
    confidence = np.random.default_rng(0).beta(1, 0.06, images)
    assert confidence.mean() == pytest.approx(0.94, abs=0.01)
    band = null_band(confidence, confidence_errors(15), 300, seed=0)
    assert band["ece"] == pytest.approx({"mean": mean, "upper": upper}, rel=1 / 6)
    assert band["ece_equal_mass"] == pytest.approx(
        {"mean": mean_of_equal_mass, "upper": upper_of_equal_mass}, rel=1 / 6
    )


def test_the_null_mean_is_that_of_the_normal_gaps_of_the_bins():
    """A bin's gap is nearly normal around 0, with the variance of its Bernoulli sum."""
    confidence = np.sort(np.random.default_rng(0).uniform(0.5, 1, 3000))
    variances = [np.sum(group * (1 - group)) for group in np.array_split(confidence, 15)]
    band = null_band(confidence, {"error": partial(equal_mass_ece, bins=15)}, 1000, seed=0)["error"]
    assert band["mean"] == pytest.approx(np.sqrt(2 / np.pi * np.array(variances)).sum() / 3000, rel=0.02)


def test_a_model_of_known_temperature_is_below_the_upper_end_19_times_in_20():
    """The labels are drawn from the probabilities of all classes; 3 standard errors of 400 draws are 3.3 %."""
    rng, errors = np.random.default_rng(0), confidence_errors(15)
    logits, _ = outcomes(rng, 500, temperature=1.5)
    probabilities = tempered_softmax(logits, 1.5)
    confidence = probabilities.max(axis=1)
    band = null_band(confidence, errors, 1000, seed=0)
    labels = (probabilities.cumsum(axis=1)[None] < rng.random((400, 500, 1))).sum(axis=2)
    for name, error in errors.items():
        measured = error(confidence, labels == probabilities.argmax(axis=1))
        assert np.mean(measured <= band[name]["upper"]) == pytest.approx(0.95, abs=0.033)
        assert np.mean(measured) == pytest.approx(band[name]["mean"], rel=0.05)


def test_an_over_confident_model_is_above_its_null_band():
    logits, labels = outcomes(np.random.default_rng(0), 2000, temperature=1.5)
    confidence, correct = tempered_softmax(logits).max(axis=1), logits.argmax(axis=1) == labels
    band = null_band(confidence, confidence_errors(15), 200, seed=0)
    assert all(error(confidence, correct) > 2 * band[name]["upper"] for name, error in confidence_errors(15).items())


def test_the_same_seed_gives_the_same_band():
    confidence = np.random.default_rng(0).random(100)
    bands = [null_band(confidence, confidence_errors(5), 20, seed) for seed in (0, 0, 1)]
    assert bands[0] == bands[1] != bands[2]
