import numpy as np
import pytest
from netcal.metrics import ECE, MCE
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss

from stages.common.calibration import softmax
from stages.common.measures import measures

NAMES = ["accuracy", "nll", "brier", "ece", "ece_equal_mass", "smece", "classwise_ece", "mce", "aurc"]


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(0, 3, (600, 4)).astype(np.float32)


@pytest.fixture
def labels(logits):
    return (softmax(logits, 2).cumsum(axis=1) < np.random.default_rng(1).random((600, 1))).sum(axis=1)


def test_every_measure_has_its_name_and_is_one_number(logits, labels):
    values = {name: measure(np.ones(600)) for name, measure in measures(logits, labels, 1.0, 15).items()}
    assert list(values) == NAMES
    assert all(np.shape(value) == () and 0 < value < 2 for value in values.values())


@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_the_measures_of_the_whole_agree_with_scikit_learn_and_netcal(logits, labels, temperature):
    measured = measures(logits, labels, temperature, 15)
    probabilities = softmax(logits, temperature)
    expected = {
        "accuracy": accuracy_score(labels, logits.argmax(axis=1)),
        "nll": log_loss(labels, probabilities),
        "brier": brier_score_loss(labels, probabilities, scale_by_half=False),
        "ece": ECE(15).measure(probabilities, labels),
        "ece_equal_mass": ECE(15, equal_intervals=False).measure(probabilities, labels),
        "mce": MCE(15).measure(probabilities, labels),
    }
    assert {name: float(measured[name](np.ones(600))) for name in expected} == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_the_measure_of_a_sample_is_that_of_its_images(logits, labels, name):
    copies = np.random.default_rng(2).multinomial(600, np.full(600, 1 / 600), size=3)
    expected = [
        measures(np.repeat(logits, row, axis=0), np.repeat(labels, row), 1.5, 15)[name](np.ones(600)) for row in copies
    ]
    assert measures(logits, labels, 1.5, 15)[name](copies) == pytest.approx(np.array(expected), abs=1e-9)
