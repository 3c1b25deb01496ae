import numpy as np
import pytest
from netcal.metrics import ECE, MCE
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss

from study.evaluation.scores import (
    accuracy,
    brier,
    brier_of_each,
    confidence_and_correct,
    ece,
    nll,
    nll_of_each,
    reliability_bins,
    resampled_scores,
)
from study.evaluation.temperature import tempered_softmax

RESAMPLED = ["accuracy", "nll", "brier", "ece", "ece_equal_mass", "smece", "classwise_ece", "mce", "aurc"]


@pytest.fixture
def logits() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 3, (2000, 10)).astype(np.float32)


@pytest.fixture
def labels(logits) -> np.ndarray:
    """Over-confident logits: the labels come from a higher temperature."""
    return sampled_labels(tempered_softmax(logits, 2), np.random.default_rng(1))


def sampled_labels(probabilities: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (probabilities.cumsum(axis=1) < rng.random((len(probabilities), 1))).sum(axis=1)


@pytest.mark.parametrize("bins", [2, 15, 100])
def test_ece_agrees_with_netcal(logits, labels, bins):
    probabilities = tempered_softmax(logits)
    assert ece(probabilities, labels, bins) > 0.05
    assert ece(probabilities, labels, bins) == pytest.approx(ECE(bins).measure(probabilities, labels), abs=1e-12)


def test_accuracy_nll_and_brier_agree_with_scikit_learn(logits, labels):
    probabilities = tempered_softmax(logits, 1.5)
    assert accuracy(probabilities, labels) == accuracy_score(labels, logits.argmax(axis=1))
    assert nll(logits, labels, 1.5) == pytest.approx(log_loss(labels, probabilities), abs=1e-12)
    assert brier(probabilities, labels) == pytest.approx(
        brier_score_loss(labels, probabilities, scale_by_half=False), abs=1e-12
    )


def test_the_scores_of_each_image_are_those_of_that_image_alone(logits, labels):
    probabilities = tempered_softmax(logits)
    for index in (0, 7):
        alone = slice(index, index + 1)
        assert nll_of_each(logits, labels, 1.5)[index] == pytest.approx(nll(logits[alone], labels[alone], 1.5))
        assert brier_of_each(probabilities, labels)[index] == pytest.approx(brier(probabilities[alone], labels[alone]))


@pytest.mark.parametrize("bins", [2, 15, 100])
def test_ece_is_the_mean_gap_of_the_reliability_bins(logits, labels, bins):
    table = reliability_bins(tempered_softmax(logits), labels, bins)
    gaps = table["count"] * (table["accuracy"] - table["confidence"]).abs()
    assert ece(tempered_softmax(logits), labels, bins) == pytest.approx(gaps.sum() / len(labels), abs=1e-12)


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
    assert reliability_bins(probabilities, np.zeros(3, int), bins=4)["count"].tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("bins", [3, 15, 49, 100])
def test_every_border_is_the_upper_end_of_its_own_bin(bins):
    borders = reliability_bins(np.ones((1, 2)), np.array([0]), bins)["bin_upper"]
    binned = reliability_bins(np.stack([borders, np.zeros(bins)], axis=1), np.zeros(bins, int), bins)
    assert binned["count"].tolist() == [1] * bins


def test_reliability_bins_cover_the_unit_interval_and_count_everyone(logits, labels):
    table = reliability_bins(tempered_softmax(logits), labels, bins=15)
    assert table.columns.tolist() == ["bin_lower", "bin_upper", "confidence", "accuracy", "count"]
    assert table["bin_lower"].iloc[0] == 0 and table["bin_upper"].iloc[-1] == 1
    assert table["bin_upper"].iloc[:-1].tolist() == table["bin_lower"].iloc[1:].tolist()
    assert table["count"].sum() == len(labels)
    occupied = table[table["count"] > 0]
    assert (occupied["bin_lower"] < occupied["confidence"]).all()
    assert (occupied["confidence"] <= occupied["bin_upper"]).all()


def test_an_empty_bin_has_neither_confidence_nor_accuracy():
    empty, occupied = reliability_bins(np.array([[0.9, 0.1]]), np.array([0]), bins=2).to_dict("records")
    assert np.isnan(empty.pop("confidence")) and np.isnan(empty.pop("accuracy"))
    assert empty == {"bin_lower": 0, "bin_upper": 0.5, "count": 0}
    assert occupied == {"bin_lower": 0.5, "bin_upper": 1, "confidence": 0.9, "accuracy": 1, "count": 1}


def test_counts_stay_whole_numbers_where_bins_are_empty():
    assert reliability_bins(np.array([[0.9, 0.1]]), np.array([0]), bins=15)["count"].dtype == np.int64


def test_confidence_is_that_of_the_prediction_and_not_of_the_label():
    confidence, correct = confidence_and_correct(np.array([[0.2, 0.8], [0.6, 0.4]]), np.array([0, 0]))
    assert confidence.tolist() == [0.8, 0.6] and correct.tolist() == [False, True]


def test_the_ece_of_a_perfectly_calibrated_model_is_in_its_null_band():
    """Labels drawn from the probabilities: each bin's gap is normal, with the variance of its Bernoulli sum.

    At 94-95 % accuracy and 1000 images that leaves an ECE of 1.5 % on average and 2 % at the 95 % quantile.
    """
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (1000, 10))
    logits[np.arange(1000), rng.integers(0, 10, 1000)] += 10.5
    probabilities = tempered_softmax(logits)
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


@pytest.fixture
def few():
    """Logits and labels of six hundred images of four classes."""
    logits = np.random.default_rng(0).normal(0, 3, (600, 4)).astype(np.float32)
    return logits, sampled_labels(tempered_softmax(logits, 2), np.random.default_rng(1))


def test_every_score_has_its_name_and_is_one_number(few):
    values = {name: score(np.ones(600)) for name, score in resampled_scores(*few, 1.0, 15).items()}
    assert list(values) == RESAMPLED
    assert all(np.shape(value) == () and 0 < value < 2 for value in values.values())


@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_the_scores_of_the_whole_agree_with_scikit_learn_and_netcal(few, temperature):
    logits, labels = few
    measured = resampled_scores(logits, labels, temperature, 15)
    probabilities = tempered_softmax(logits, temperature)
    expected = {
        "accuracy": accuracy_score(labels, logits.argmax(axis=1)),
        "nll": log_loss(labels, probabilities),
        "brier": brier_score_loss(labels, probabilities, scale_by_half=False),
        "ece": ECE(15).measure(probabilities, labels),
        "ece_equal_mass": ECE(15, equal_intervals=False).measure(probabilities, labels),
        "mce": MCE(15).measure(probabilities, labels),
    }
    assert {name: float(measured[name](np.ones(600))) for name in expected} == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", RESAMPLED)
def test_the_score_of_a_sample_is_that_of_its_images(few, name):
    logits, labels = few
    copies = np.random.default_rng(2).multinomial(600, np.full(600, 1 / 600), size=3)
    samples = [(np.repeat(logits, row, axis=0), np.repeat(labels, row)) for row in copies]
    expected = [resampled_scores(*sample, 1.5, 15)[name](np.ones(600)) for sample in samples]
    assert resampled_scores(logits, labels, 1.5, 15)[name](copies) == pytest.approx(np.array(expected), abs=1e-9)
