import numpy as np
import pytest
from scipy.stats import beta, binom

from study.conformal.abstention import FAILURE, GRID, STARTS, answer_measures, answering_threshold


def drawn(images, seed):
    """Confidences, mostly high, and answers that are right as often as these say."""
    rng = np.random.default_rng(seed)
    confidence = 1 - 0.5 * rng.random(images) ** 4
    return confidence, rng.random(images) < confidence


def true_error(least):
    """Of `drawn`, the error rate among answers at or above `least`: the mean of 0.5 u^4 below u = (2 - 2 least)^1/4."""
    return 0.5 * (2 - 2 * least) / 5


@pytest.mark.parametrize("allowed", [0.02, 0.05])
def test_the_promise_is_broken_at_most_as_often_as_it_says(allowed):
    thresholds = [answering_threshold(*drawn(1000, seed), allowed) for seed in range(400)]
    broken = np.mean([least is not None and true_error(least) > allowed for least in thresholds])
    assert broken <= binom.ppf(0.999, 400, FAILURE) / 400
    assert np.mean([least is not None for least in thresholds]) > 0.5


def test_more_calibration_images_allow_more_answers():
    few, many = (answering_threshold(*drawn(images, 0), 0.05) for images in (500, 50_000))
    assert many < few
    assert true_error(many) == pytest.approx(0.05, abs=0.01)


def test_the_lowest_threshold_is_the_one_whose_clopper_pearson_interval_ends_below():
    confidence, correct = drawn(1000, 3)
    least = answering_threshold(confidence, correct, 0.05)
    level = 1 - FAILURE / len(STARTS)

    def upper(threshold):
        answered = confidence >= threshold
        wrong = np.sum(answered & ~correct)
        return beta.ppf(level, wrong + 1, answered.sum() - wrong)

    below = GRID[np.flatnonzero(least == GRID)[0] + 1]
    assert upper(least) <= 0.05 < upper(below)


def test_a_network_that_errs_too_often_promises_nothing():
    assert answering_threshold(np.ones(1000), np.arange(1000) % 2 == 0, 0.05) is None


def test_too_few_images_promise_nothing():
    assert answering_threshold(np.ones(20), np.ones(20, dtype=bool), 0.01) is None


def test_answers_are_those_at_or_above_the_threshold():
    confidence, correct = np.array([0.9, 0.5, 0.4, 0.8]), np.array([True, False, True, True])
    assert answer_measures(confidence, correct, 0.5) == {"answered": 3 / 4, "wrong": pytest.approx(1 / 3)}
    assert answer_measures(confidence, correct, 0.95) == {"answered": 0, "wrong": None}
    assert answer_measures(confidence, correct, None) == {"answered": 0, "wrong": None}
