import numpy as np
import pytest
from netcal.metrics import ECE
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss

from stages.common.calibration import softmax
from stages.common.metrics import accuracy, brier, brier_of_each, ece, nll, nll_of_each, reliability_bins


@pytest.fixture
def logits() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 3, (2000, 10)).astype(np.float32)


@pytest.fixture
def labels(logits) -> np.ndarray:
    """Over-confident logits: the labels come from a higher temperature."""
    return sampled_labels(softmax(logits, 2), np.random.default_rng(1))


def sampled_labels(probabilities: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (probabilities.cumsum(axis=1) < rng.random((len(probabilities), 1))).sum(axis=1)


@pytest.mark.parametrize("bins", [2, 15, 100])
def test_ece_agrees_with_netcal(logits, labels, bins):
    probabilities = softmax(logits)
    assert ece(probabilities, labels, bins) > 0.05
    assert ece(probabilities, labels, bins) == pytest.approx(ECE(bins).measure(probabilities, labels), abs=1e-12)


def test_accuracy_nll_and_brier_agree_with_scikit_learn(logits, labels):
    probabilities = softmax(logits, 1.5)
    assert accuracy(probabilities, labels) == accuracy_score(labels, logits.argmax(axis=1))
    assert nll(logits, labels, 1.5) == pytest.approx(log_loss(labels, probabilities), abs=1e-12)
    assert brier(probabilities, labels) == pytest.approx(
        brier_score_loss(labels, probabilities, scale_by_half=False), abs=1e-12
    )


def test_the_scores_of_each_image_are_those_of_that_image_alone(logits, labels):
    probabilities = softmax(logits)
    for index in (0, 7):
        alone = slice(index, index + 1)
        assert nll_of_each(logits, labels, 1.5)[index] == pytest.approx(nll(logits[alone], labels[alone], 1.5))
        assert brier_of_each(probabilities, labels)[index] == pytest.approx(brier(probabilities[alone], labels[alone]))


@pytest.mark.parametrize("bins", [2, 15, 100])
def test_ece_is_the_mean_gap_of_the_reliability_bins(logits, labels, bins):
    occupied = [row for row in reliability_bins(softmax(logits), labels, bins) if row["count"]]
    gaps = [row["count"] * abs(row["accuracy"] - row["confidence"]) for row in occupied]
    assert ece(softmax(logits), labels, bins) == pytest.approx(sum(gaps) / len(labels), abs=1e-12)


def test_uniform_probabilities_of_ten_classes_have_known_scores():
    probabilities, labels = np.full((10, 10), 0.1), np.arange(10)
    assert accuracy(probabilities, labels) == 0.1
    assert nll(np.zeros((10, 10)), labels) == pytest.approx(np.log(10))
    assert brier(probabilities, labels) == pytest.approx(0.9**2 + 9 * 0.1**2)
    assert ece(probabilities, labels, 15) == pytest.approx(0)


def test_nll_of_extreme_float32_logits_is_finite_and_exact():
    largest = np.finfo(np.float32).max
    logits = np.array([[largest, -largest], [0, 1000]], dtype=np.float32)
    assert nll(logits, np.array([0, 1])) == 0
    assert nll(logits, np.array([0, 0])) == 1000 / 2
    assert nll(logits, np.array([1, 1])) == float(largest)
    assert nll(logits[1:], np.array([0]), temperature=4) == 1000 / 4


def test_nll_is_not_rounded_to_single_precision():
    third = np.float32(1 / 3)
    assert nll(np.array([[third, 0]], dtype=np.float32), np.array([1]), 0.3) == pytest.approx(
        np.log1p(np.exp(float(third) / 0.3)), rel=1e-14
    )


def test_a_confidence_on_a_border_belongs_to_the_bin_below_and_one_to_the_last():
    probabilities = np.array([[0.5, 0.5], [0.75, 0.25], [1.0, 0.0]])
    counts = [row["count"] for row in reliability_bins(probabilities, np.zeros(3, int), bins=4)]
    assert counts == [0, 1, 1, 1]


@pytest.mark.parametrize("bins", [3, 15, 49, 100])
def test_every_border_is_the_upper_end_of_its_own_bin(bins):
    rows = reliability_bins(np.ones((1, 2)), np.array([0]), bins)
    borders = np.array([row["bin_upper"] for row in rows])
    binned = reliability_bins(np.stack([borders, np.zeros(bins)], axis=1), np.zeros(bins, int), bins)
    assert [row["count"] for row in binned] == [1] * bins


def test_reliability_bins_cover_the_unit_interval_and_count_everyone(logits, labels):
    rows = reliability_bins(softmax(logits), labels, bins=15)
    assert rows[0]["bin_lower"] == 0 and rows[-1]["bin_upper"] == 1
    assert [row["bin_upper"] for row in rows[:-1]] == [row["bin_lower"] for row in rows[1:]]
    assert sum(row["count"] for row in rows) == len(labels)
    assert all(row["bin_lower"] < row["confidence"] <= row["bin_upper"] for row in rows if row["count"])


def test_an_empty_bin_has_neither_confidence_nor_accuracy():
    row, _ = reliability_bins(np.array([[0.9, 0.1]]), np.array([0]), bins=2)
    assert row == {"bin_lower": 0, "bin_upper": 0.5, "confidence": None, "accuracy": None, "count": 0}


def test_the_ece_of_a_perfectly_calibrated_model_is_in_its_null_band():
    """Labels drawn from the probabilities: each bin's gap is normal, with the variance of its Bernoulli sum.

    At 94-95 % accuracy and 1000 images that leaves an ECE of 1.5 % on average and 2 % at the 95 % quantile.
    """
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (1000, 10))
    logits[np.arange(1000), rng.integers(0, 10, 1000)] += 10.5
    probabilities = softmax(logits)
    confidence = probabilities.max(axis=1)
    assert confidence.mean() == pytest.approx(0.945, abs=0.01)

    measured = [ece(probabilities, sampled_labels(probabilities, rng), 15) for _ in range(300)]
    variance = np.histogram(confidence, np.linspace(0, 1, 16), weights=confidence * (1 - confidence))[0]
    assert np.mean(measured) == pytest.approx(np.sqrt(2 / np.pi * variance).sum() / 1000, rel=0.05)
    assert np.mean(measured) == pytest.approx(0.0146, abs=0.0015)
    assert np.quantile(measured, 0.95) == pytest.approx(0.0203, abs=0.0020)


@pytest.mark.parametrize("metric", [accuracy, nll, brier, lambda p, y: ece(p, y, 15)])
@pytest.mark.parametrize("shape", [(3,), (5,), (4, 1)])
def test_labels_of_another_shape_are_refused_with_both_shapes(metric, shape):
    with pytest.raises(ValueError, match=r"\(4, 10\) and \(" + str(shape[0])):
        metric(np.full((4, 10), 0.1), np.zeros(shape, int))
