import json

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from study.evaluation.scores import nll
from study.evaluation.temperature import (
    HIGHEST,
    LOWEST,
    Calibrate,
    fit_temperature,
    load_temperature,
    save_temperature,
    tempered_softmax,
    why_not_fitted,
)
from study.pipeline.params import Refusal, parse


def logits_and_labels(temperature: float, images: int = 5000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose labels are drawn at this temperature."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2.5 * temperature, (images, 10)).astype(np.float32)
    uniform = rng.random((images, 1))
    return logits, (tempered_softmax(logits, temperature).cumsum(axis=1) < uniform).sum(axis=1)


def scikit_learn_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    identity = LogisticRegression()
    identity.classes_ = np.arange(logits.shape[1])
    identity.coef_ = np.eye(logits.shape[1])
    identity.intercept_ = np.zeros(logits.shape[1])
    calibrated = CalibratedClassifierCV(FrozenEstimator(identity), method="temperature").fit(
        logits.astype(np.float64), labels
    )
    return 1 / calibrated.calibrated_classifiers_[0].calibrators[0].beta_


@pytest.mark.parametrize("temperature", [0.2, 1.0, 2.497, 10.0])
def test_fit_temperature_recovers_a_known_value(temperature):
    fit = fit_temperature(*logits_and_labels(temperature))
    assert fit.fitted
    assert fit.temperature == pytest.approx(temperature, rel=0.04)


@pytest.mark.parametrize("temperature", [0.2, 1.0, 2.497, 10.0])
def test_fit_temperature_agrees_with_scikit_learn(temperature):
    logits, labels = logits_and_labels(temperature, images=1000)
    found, _ = fit_temperature(logits, labels)
    assert found == pytest.approx(scikit_learn_temperature(logits, labels), rel=1e-6)


def test_fit_temperature_of_log_probabilities_is_that_of_their_logits():
    logits, labels = logits_and_labels(1.7)
    expected, _ = fit_temperature(logits, labels)
    found, _ = fit_temperature(np.log(tempered_softmax(logits)), labels)
    assert found == pytest.approx(expected, rel=1e-9)


def test_no_nearby_temperature_has_a_lower_nll():
    logits, labels = logits_and_labels(2.0)
    temperature, _ = fit_temperature(logits, labels)
    best = nll(logits, labels, temperature)
    assert all(nll(logits, labels, temperature * factor) > best for factor in (0.5, 0.999, 1.001, 2))


def test_fit_temperature_scales_with_the_logits():
    logits, labels = logits_and_labels(1.0)
    found, expected = fit_temperature(4 * logits, labels), fit_temperature(logits, labels)
    assert found.temperature == pytest.approx(4 * expected.temperature, rel=1e-9)


def test_one_hopelessly_confident_error_is_fitted_exactly():
    """One of 1000 labels is wrong at the same margin m: sigmoid(m / T) = 999 / 1000."""
    logits = np.tile(np.array([1000, 0.1], dtype=np.float32), (1000, 1))
    labels = np.zeros(1000, int)
    labels[0] = 1
    margin = 1000 - float(np.float32(0.1))
    assert margin / np.log(999) > HIGHEST
    assert fit_temperature(logits, labels) == (HIGHEST, False)
    found, fitted = fit_temperature(logits / 16, labels)
    assert fitted
    assert found == pytest.approx(margin / 16 / np.log(999), rel=1e-9)


def test_two_classes_have_the_temperature_of_the_odds():
    logits, labels = np.tile([[3.0, 0.0]], (4, 1)), np.array([0, 0, 0, 1])
    found, _ = fit_temperature(logits, labels)
    assert found == pytest.approx(3 / np.log(3), rel=1e-9)


@pytest.mark.parametrize("margin", [1, 5, 3e38])
def test_logits_that_are_always_right_leave_nothing_to_fit_and_stay_as_they_are(margin):
    logits = margin * np.eye(3, dtype=np.float32)
    assert fit_temperature(logits, np.arange(3)) == (1, False)


@pytest.mark.parametrize("margin", [1, 5, 3e38])
def test_logits_that_are_always_wrong_get_the_highest_temperature_and_are_not_fitted(margin):
    logits = margin * np.eye(3, dtype=np.float32)
    assert fit_temperature(logits, np.array([1, 2, 0])) == (HIGHEST, False)


def test_logits_at_chance_get_the_highest_temperature_and_are_not_fitted():
    """Every label is as frequent for each prediction: the best probabilities are those of an infinite temperature."""
    logits, labels = np.repeat(5 * np.eye(4), 4, axis=0), np.tile(np.arange(4), 4)
    assert fit_temperature(logits, labels) == (HIGHEST, False)
    assert nll(logits, labels, HIGHEST) < nll(logits, labels, HIGHEST / 2)


def test_four_images_that_are_all_right_do_not_determine_a_temperature():
    logits = np.array([[3.0, -1], [2, 0], [-2, 2], [0, 5]])
    labels = logits.argmax(axis=1)
    assert nll(logits, labels, LOWEST) < nll(logits, labels, 1)  # the lower the better, without end
    assert fit_temperature(logits, labels) == (1, False)


def test_logits_that_are_all_equal_stay_as_they_are():
    assert fit_temperature(np.ones((3, 10), dtype=np.float32), np.arange(3)) == (1, False)


def test_the_reason_is_the_one_that_the_temperature_stands_for():
    assert f"above {HIGHEST:g}" in why_not_fitted(HIGHEST) and "learned nothing" in why_not_fitted(HIGHEST)
    assert f"from {LOWEST:g} up" in why_not_fitted(1.0) and "all of them are right" in why_not_fitted(1.0)


def test_softmax_of_extreme_float32_logits_is_finite():
    largest = np.finfo(np.float32).max
    logits = np.array([[largest, -largest], [-largest, -largest]], dtype=np.float32)
    assert tempered_softmax(logits, LOWEST).tolist() == [[1, 0], [0.5, 0.5]]


def test_softmax_never_changes_the_prediction():
    logits, _ = logits_and_labels(1.0)
    for temperature in (LOWEST, 1, HIGHEST):
        probabilities = tempered_softmax(logits, temperature)
        assert probabilities.dtype == np.float64
        assert probabilities.sum(axis=1) == pytest.approx(1)
        assert np.array_equal(probabilities.argmax(axis=1), logits.argmax(axis=1))


def test_softmax_of_one_image_s_logits_is_over_its_classes():
    assert tempered_softmax([0.0, np.log(9)]).tolist() == pytest.approx([0.1, 0.9])


def test_a_temperature_comes_back_with_every_digit_from_the_file_of_its_variant(tmp_path):
    save_temperature(tmp_path, "fc", 0.1 + 0.2)
    save_temperature(tmp_path, "full", 1, fitted=False)
    assert load_temperature(tmp_path, "fc") == 0.1 + 0.2
    assert isinstance(load_temperature(tmp_path, "full"), float)
    folder = tmp_path / "results/temperature"
    assert (folder / "fc.json").read_text() == '{\n  "temperature": 0.30000000000000004,\n  "fitted": true\n}\n'
    assert json.loads((folder / "full.json").read_text()) == {"temperature": 1, "fitted": False}


BLOCK = {"bins": 15, "resamples": 1000, "seed": 0}


@pytest.mark.parametrize(("key", "value"), [("bins", 2), ("bins", 100), ("resamples", 20), ("resamples", 100_000)])
def test_a_usual_number_of_bins_and_resamples_is_accepted(key, value):
    block = parse({"calibrate": {**BLOCK, key: value}}, "calibrate", Calibrate)
    assert getattr(block, key) == value


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("bins", value) for value in (1, 101, 15.0, "15", True, None)),
        *(("resamples", value) for value in (0, 19, 100_001, 1000.0, None)),
        *(("seed", value) for value in (-1, 2**32, 0.5)),
    ],
)
def test_any_other_value_is_refused_by_name(key, value):
    with pytest.raises(Refusal, match=rf"calibrate\.{key}"):
        parse({"calibrate": {**BLOCK, key: value}}, "calibrate", Calibrate)
