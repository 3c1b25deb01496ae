from functools import partial

import numpy as np
import pytest
import relplot
from netcal.metrics import ECE, MCE
from scipy.optimize import brentq

from study.evaluation.calibration_errors import (
    binned_ece,
    classwise_ece,
    confidence_errors,
    equal_mass_ece,
    mce,
    smooth_ece,
)
from study.evaluation.temperature import tempered_softmax

ERRORS = {**confidence_errors(15), "mce": partial(mce, bins=15)}


@pytest.fixture(scope="module")
def probabilities():
    return tempered_softmax(np.random.default_rng(0).normal(0, 3, (3000, 10)))


@pytest.fixture(scope="module")
def labels(probabilities):
    """Over-confident probabilities: the labels come from a higher temperature."""
    uniform = np.random.default_rng(1).random((len(probabilities), 1))
    return (tempered_softmax(np.log(probabilities), 2).cumsum(axis=1) < uniform).sum(axis=1)


@pytest.fixture(scope="module")
def confidence(probabilities):
    return probabilities.max(axis=1)


@pytest.fixture(scope="module")
def correct(probabilities, labels):
    return probabilities.argmax(axis=1) == labels


@pytest.fixture(scope="module")
def copies():
    """How many copies of each of the 3000 images seven bootstrap samples hold."""
    return np.random.default_rng(2).multinomial(3000, np.full(3000, 1 / 3000), size=7)


def smece_by_its_definition(confidence, correct):
    """The width at which it equals the error, with every image and its reflections in 0 and 1 smoothed on their own."""
    at = np.linspace(0, 1, 1001)

    def error(width):
        sources = [confidence + shift for shift in (-2, 0, 2)] + [shift - confidence for shift in (-2, 0, 2)]
        kernel = sum(np.exp(-0.5 * np.square((at[:, None] - source) / width)) for source in sources)
        smoothed = kernel @ (confidence - correct) / (len(confidence) * width * np.sqrt(2 * np.pi))
        return np.trapezoid(np.abs(smoothed), at)

    return brentq(lambda width: error(width) - width, 0.005, 1, xtol=1e-6)


@pytest.mark.parametrize("bins", [2, 7, 15, 100])
def test_ece_of_equal_width_and_mce_agree_with_netcal(probabilities, labels, confidence, correct, bins):
    assert binned_ece(confidence, correct, bins=bins) == pytest.approx(
        ECE(bins).measure(probabilities, labels), abs=1e-12
    )
    assert mce(confidence, correct, bins=bins) == pytest.approx(MCE(bins).measure(probabilities, labels), abs=1e-12)


@pytest.mark.parametrize("bins", [2, 15, 100])
def test_ece_of_equal_mass_agrees_with_netcal(probabilities, labels, confidence, correct, bins):
    assert equal_mass_ece(confidence, correct, bins=bins) == pytest.approx(
        ECE(bins, equal_intervals=False).measure(probabilities, labels), abs=1e-12
    )


@pytest.mark.parametrize("bins", [7, 11, 3000, 4000])
def test_the_first_bins_of_equal_mass_take_what_does_not_divide(confidence, correct, bins):
    groups = np.array_split(np.argsort(confidence), bins)
    expected = sum(abs((confidence - correct)[group].sum()) for group in groups) / 3000
    assert equal_mass_ece(confidence, correct, bins=bins) == pytest.approx(expected, abs=1e-12)


def test_classwise_ece_is_the_mean_over_classes_of_netcal(probabilities, labels):
    of_classes = [ECE(15).measure(probabilities[:, index], (labels == index).astype(int)) for index in range(10)]
    assert classwise_ece(probabilities, labels, bins=15) == pytest.approx(np.mean(of_classes), abs=1e-12)


@pytest.mark.parametrize("sharpness", [1, 3, 30])
def test_smece_is_the_fixed_point_of_its_definition(sharpness):
    """The sharper, the more of the confidences lie at 1, where the kernel is reflected."""
    rng = np.random.default_rng(0)
    confidence = rng.random(300) ** (1 / sharpness)
    correct = rng.random(300) < confidence**2
    assert smooth_ece(confidence, correct) == pytest.approx(smece_by_its_definition(confidence, correct), abs=1e-5)


@pytest.mark.parametrize("power", [0.5, 1, 1.3, 3])
def test_smece_agrees_with_its_authors_relplot(monkeypatch, power):
    """To the 1/1024 of its search for the width. No confidence is close to 1, where relplot 1.0.3 loses half of it."""
    monkeypatch.setattr(relplot.config, "smECE_mesh_pts", 2001)
    rng = np.random.default_rng(0)
    confidence = rng.beta(4, 2, 3000)
    correct = rng.random(3000) < confidence**power
    assert smooth_ece(confidence, correct) == pytest.approx(
        relplot.smECE(confidence, correct.astype(float)), abs=1 / 1024
    )


def test_smece_of_a_single_wrong_certainty_is_half_of_it():
    """All the residual is at 1 and the kernel keeps it on [0, 1]: the integral is 1/2 whatever the width."""
    assert smooth_ece(np.ones(2), np.array([True, False])) == pytest.approx(0.5, abs=1e-5)


def test_smece_of_residuals_smaller_than_a_step_of_the_grid_is_their_size():
    confidence = np.full(2000, 0.5)
    correct = np.arange(2000) < 999
    assert smooth_ece(confidence, correct) == pytest.approx(0.5 - 999 / 2000, rel=0.01)


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_confidence_that_is_always_met_has_no_error(error):
    assert error(np.ones(30), np.ones(30, dtype=bool)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_an_error_of_every_image_alike_is_found_by_all(error):
    """Confidence 3/4, of which 1/4 is met; wide enough a kernel leaves all of it on the one side."""
    assert error(np.full(40, 0.75), np.arange(40) < 10) == pytest.approx(0.75 - 0.25, abs=1e-5)


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_weights_stand_for_copies(error, confidence, correct, copies):
    repeated = [error(np.repeat(confidence, row), np.repeat(correct, row)) for row in copies]
    assert error(confidence, correct, copies) == pytest.approx(np.array(repeated), abs=1e-9)


def test_weights_stand_for_copies_in_the_classwise_error_too(probabilities, labels, copies):
    repeated = [classwise_ece(np.repeat(probabilities, row, axis=0), np.repeat(labels, row), bins=15) for row in copies]
    assert classwise_ece(probabilities, labels, copies, bins=15) == pytest.approx(np.array(repeated), abs=1e-12)


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_many_draws_of_the_labels_are_measured_each_on_its_own(error, confidence):
    drawn = np.random.default_rng(3).random((5, 3000)) < confidence
    assert error(confidence, drawn) == pytest.approx(np.array([error(confidence, row) for row in drawn]), abs=1e-12)


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_no_error_depends_on_the_order_of_the_images(error):
    rng = np.random.default_rng(4)
    confidence, correct = rng.integers(5, 21, 500) / 20, rng.random(500) < 0.7  # with many ties
    shuffled = rng.permutation(500)
    assert error(confidence[shuffled], correct[shuffled]) == pytest.approx(error(confidence, correct), abs=1e-12)


def test_the_estimators_keep_their_arguments(probabilities, labels, confidence, correct):
    kept = probabilities.copy(), confidence.copy(), correct.copy()
    classwise_ece(probabilities, labels, bins=15)
    for error in ERRORS.values():
        error(confidence, correct)
    assert all(np.array_equal(*pair) for pair in zip(kept, (probabilities, confidence, correct), strict=True))
