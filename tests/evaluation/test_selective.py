import numpy as np
import pytest

from study.evaluation.selective import aurc, risk_at_coverage


def test_aurc_is_the_mean_error_rate_of_the_most_confident_one_two_and_so_on():
    rng = np.random.default_rng(0)
    confidence, correct = rng.random(200), rng.random(200) < 0.8
    errors = ~correct[np.argsort(-confidence)]
    expected = np.mean([errors[:answered].mean() for answered in range(1, 201)])
    assert aurc(confidence, correct, np.ones(200)) == pytest.approx(expected, abs=1e-12)


def test_aurc_of_a_perfect_ranking_is_that_of_the_errors_alone_at_the_end():
    confidence, correct = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, True, False, False])
    assert aurc(confidence, correct, np.ones(4)) == pytest.approx((0 + 0 + 1 / 3 + 2 / 4) / 4)
    assert aurc(confidence, ~correct, np.ones(4)) == pytest.approx((1 + 1 + 2 / 3 + 2 / 4) / 4)


def test_equal_confidence_for_all_leaves_the_error_rate_at_every_coverage():
    confidence, correct = np.full(10, 0.5), np.arange(10) < 7
    assert aurc(confidence, correct, np.ones(10)) == pytest.approx(0.3)
    assert [risk_at_coverage(confidence, correct, share) for share in (0.1, 0.55, 1.0)] == pytest.approx([0.3] * 3)


def test_weights_stand_for_copies():
    rng = np.random.default_rng(0)
    confidence, correct = rng.random(60), rng.random(60) < 0.7
    copies = rng.multinomial(60, np.full(60, 1 / 60), size=4)
    repeated = [aurc(np.repeat(confidence, row), np.repeat(correct, row), np.ones(60)) for row in copies]
    assert aurc(confidence, correct, copies) == pytest.approx(np.array(repeated), abs=1e-12)


@pytest.mark.parametrize("answered", [1, 70, 80, 100])
def test_the_risk_is_the_error_rate_among_the_most_confident(answered):
    rng = np.random.default_rng(0)
    confidence, correct = rng.random(100), rng.random(100) < 0.8
    chosen = np.argsort(-confidence)[:answered]
    assert risk_at_coverage(confidence, correct, answered / 100) == pytest.approx(np.mean(~correct[chosen]))
