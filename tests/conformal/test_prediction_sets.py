import numpy as np
import pytest
import torch
from mapie.classification import SplitConformalClassifier
from mapie.conformity_scores import APSConformityScore
from scipy.stats import beta
from sklearn.base import BaseEstimator, ClassifierMixin

from study.conformal.prediction_sets import (
    Conformal,
    aps_scores,
    class_coverage,
    coverage_interval,
    lac_scores,
    set_measures,
    threshold,
)
from study.pipeline.params import Refusal, parse

CALIBRATION, CLASSES = 400, 5


@pytest.fixture(scope="module")
def sample():
    """Logits, and labels drawn from their softmax: (1,400, 5) and (1,400,)."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (1400, CLASSES))
    odds = np.exp(logits)
    labels = (rng.random((1400, 1)) > (odds / odds.sum(axis=1, keepdims=True)).cumsum(axis=1)).sum(axis=1)
    return logits, labels


@pytest.fixture(scope="module")
def probabilities(sample):
    logits, _ = sample
    return torch.softmax(torch.from_numpy(logits), dim=1).numpy()


def fitted(scores, labels, coverage):
    """The threshold from the first images, and the sets of the rest."""
    right = scores[np.arange(CALIBRATION), labels[:CALIBRATION]]
    return threshold(right, coverage), scores[CALIBRATION:] <= threshold(right, coverage)


class Known(ClassifierMixin, BaseEstimator):
    """A classifier whose inputs are the probabilities themselves."""

    classes_ = np.arange(CLASSES)

    def fit(self, *_):
        return self

    def predict_proba(self, probabilities):
        return probabilities

    def predict(self, probabilities):
        return probabilities.argmax(axis=1)

    def __sklearn_is_fitted__(self):
        return True


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_lac_sets_are_those_of_mapie(sample, probabilities, coverage):
    _, labels = sample
    theirs = SplitConformalClassifier(Known(), confidence_level=coverage, conformity_score="lac", prefit=True)
    theirs.conformalize(probabilities[:CALIBRATION], labels[:CALIBRATION])
    _, sets = theirs.predict_set(probabilities[CALIBRATION:])
    assert (fitted(lac_scores(probabilities), labels, coverage)[1] == sets[:, :, 0]).all()


def test_the_randomised_aps_scores_of_the_labels_are_those_of_mapie(sample, probabilities):
    _, labels = sample
    theirs = APSConformityScore()
    theirs.set_external_attributes(classes=np.arange(CLASSES), random_state=7)
    expected = theirs.get_conformity_scores(labels, probabilities, y_enc=labels).ravel()
    uniform = np.random.RandomState(7).uniform(size=len(labels))
    found = aps_scores(probabilities, uniform)[np.arange(len(labels)), labels]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_randomised_aps_takes_a_uniform_share_of_the_class_itself():
    assert aps_scores(np.array([[0.125, 0.625, 0.25]]), np.array([0.5])).tolist() == [
        [0.875 + 0.5 * 0.125, 0.5 * 0.625, 0.625 + 0.5 * 0.25]
    ]


@pytest.mark.parametrize("draw", [0, 1])
def test_sets_cover_as_often_as_wanted_over_many_draws_of_calibration_images(sample, probabilities, draw):
    """400 calibration and 1,000 other images, drawn 200 times: the mean coverage is within four standard errors."""
    _, labels = sample
    rng = np.random.default_rng(draw)
    found = []
    for _ in range(200):
        order = rng.permutation(len(labels))
        scores = aps_scores(probabilities[order], rng.random(len(order)))
        _, sets = fitted(scores, labels[order], 0.9)
        found.append(set_measures(sets, labels[order][CALIBRATION:])["coverage"])
    wanted = np.ceil(401 * 0.9) / 401
    assert abs(np.mean(found) - wanted) < 4 * np.std(found) / np.sqrt(200)


def test_a_threshold_needs_enough_calibration_images():
    scores = np.linspace(0, 1, 18)
    assert np.isinf(threshold(scores, 0.95))
    assert threshold(np.linspace(0, 1, 19), 0.95) == 1


def test_binary_rounding_does_not_move_the_place():
    assert (99 + 1) * 0.07 > 7
    assert threshold(np.arange(99.0), 0.07) == 6


def test_the_interval_of_coverage_is_that_of_a_beta_for_many_test_images():
    low, high = coverage_interval(999, 0.9, images=100_000)
    assert [low, high] == pytest.approx(beta.ppf([0.005, 0.995], 900, 100), abs=5e-4)


def test_the_interval_holds_99_percent_of_simulated_coverages():
    rng = np.random.default_rng(0)
    low, high = coverage_interval(200, 0.9, images=500)
    calibration, test = rng.random((4000, 200)), rng.random((4000, 500))
    found = np.mean(test <= np.sort(calibration)[:, [180]], axis=1)
    assert np.mean((found >= low) & (found <= high)) == pytest.approx(0.99, abs=0.005)


def test_the_interval_is_one_where_sets_hold_every_class():
    assert coverage_interval(18, 0.95, images=100) == (1, 1)


def test_measures_of_sets():
    sets = np.array([[True, True, False], [False, False, False], [False, True, False], [True, True, True]])
    assert set_measures(sets, np.array([0, 0, 0, 2])) == {
        "coverage": 2 / 4, "size": 6 / 4, "singletons": 1 / 4, "empty": 1 / 4
    }  # fmt: skip
    assert class_coverage(sets, np.array([0, 0, 0, 2]), ["a", "b", "c"]) == {"a": 1 / 3, "b": None, "c": 1}


@pytest.mark.parametrize("key, value", [("coverages", [0.9, 1.0]), ("coverages", []), ("error_rates", [0])])
def test_a_level_outside_0_to_1_is_refused_in_one_line(key, value):
    block = {"coverages": [0.9], "error_rates": [0.01], "seed": 0} | {key: value}
    with pytest.raises(Refusal, match=rf"^params.yaml: conformal.{key}.*"):
        parse({"conformal": block}, "conformal", Conformal)
