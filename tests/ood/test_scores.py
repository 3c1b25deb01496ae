import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_curve

from study.ood.scores import (
    FROM_LOGITS,
    all_scores,
    auroc,
    energy,
    fpr_at_tpr,
    mahalanobis,
    maximum_logit,
    maximum_probability,
    nearest_neighbour,
    threshold,
    thresholds,
)
from study.pipeline.torchvision_shim import torchvision  # noqa: F401  before pytorch_ood imports it

from pytorch_ood.detector import KNN, EnergyBased, Mahalanobis, MaxLogit, MaxSoftmax  # isort: skip
from pytorch_ood.metrics import functional  # isort: skip

EXACT = {"rtol": 0, "atol": 1e-9}


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(0, 5, (200, 10))


@pytest.fixture
def train():
    """Features of 300 images and their labels: three classes, whose means differ and whose units are correlated."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 300)
    return rng.normal(0, 4, (3, 12))[labels] + rng.normal(size=(300, 12)) @ rng.normal(size=(12, 12)), labels


@pytest.fixture
def features():
    return np.random.default_rng(2).normal(0, 5, (50, 12))


@pytest.fixture
def in_float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    ("score", "oracle"), [(maximum_probability, MaxSoftmax), (energy, EnergyBased), (maximum_logit, MaxLogit)]
)
def test_scores_from_logits_are_minus_those_of_pytorch_ood(logits, score, oracle):
    np.testing.assert_allclose(score(logits), -oracle(None).predict_logits(torch.from_numpy(logits)), **EXACT)


@pytest.mark.parametrize("score", FROM_LOGITS.values())
def test_scores_from_float32_logits_are_computed_in_float64(logits, score):
    found = score((1000 * logits).astype(np.float32))
    assert found.dtype == np.float64 and np.isfinite(found).all()
    np.testing.assert_array_equal(found, score((1000 * logits).astype(np.float32).astype(np.float64)))


def test_the_mahalanobis_score_is_that_of_pytorch_ood(train, features, in_float64):
    """Theirs is half of it, by the sum of 300 outer products, not their mean, and a ridge: small beside large units."""
    large = 1000.0
    theirs = Mahalanobis(None).fit_features(torch.from_numpy(large * train[0]), torch.from_numpy(train[1]))
    expected = -2 * 300 * theirs.predict_features(torch.from_numpy(large * features)).numpy()
    np.testing.assert_allclose(mahalanobis(*train, features), expected, rtol=1e-9)


def test_the_mahalanobis_score_stays_under_an_invertible_map_of_the_features(train, features):
    change = np.random.default_rng(3).normal(size=(12, 12))
    mapped = mahalanobis(train[0] @ change + 5, train[1], features @ change + 5)
    np.testing.assert_allclose(mapped, mahalanobis(*train, features), rtol=1e-6)


def test_a_dead_unit_and_a_repeated_unit_add_nothing_to_the_mahalanobis_score(train, features):
    dead = np.full((len(train[0]), 1), 3.0)
    revived = np.random.default_rng(4).normal(0, 100, (len(features), 1))
    expected = mahalanobis(*train, features)
    found = mahalanobis(np.hstack([train[0], dead]), train[1], np.hstack([features, revived]))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    found = mahalanobis(np.hstack([train[0], train[0][:, :1]]), train[1], np.hstack([features, features[:, :1]]))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_class_without_training_images_has_no_mean(train, features):
    gaps = 2 * train[1]  # labels 0, 2 and 4
    np.testing.assert_array_equal(mahalanobis(train[0], gaps, features), mahalanobis(*train, features))


@pytest.mark.parametrize("neighbours", [1, 5, 300])
def test_the_nearest_neighbour_score_is_minus_that_of_pytorch_ood_and_of_all_distances_sorted(
    train, features, neighbours
):
    found = nearest_neighbour(train[0], features, neighbours)
    theirs = KNN(None, neighbours).fit_features(torch.from_numpy(train[0]), torch.from_numpy(train[1]))
    np.testing.assert_allclose(found, -theirs.predict_features(torch.from_numpy(features)), **EXACT)
    near, far = (of / np.linalg.norm(of, axis=1, keepdims=True) for of in (features, train[0]))
    np.testing.assert_allclose(found, -np.sort(cdist(near, far), axis=1)[:, neighbours - 1], **EXACT)


def test_the_nearest_neighbour_score_is_defined_for_features_of_zeros(train):
    np.testing.assert_allclose(nearest_neighbour(train[0], np.zeros((2, 12)), 3), [-1, -1])


def test_more_neighbours_than_training_images_are_an_error(train, features):
    with pytest.raises(ValueError, match=r"n_neighbors = 301.*n_samples_fit = 300"):
        nearest_neighbour(train[0], features, 301)


def test_every_score_is_higher_for_images_like_the_training_images():
    """Each class has a unit of its own, by which the logits tell it too."""
    labels = np.repeat(np.arange(3), 40)
    rng = np.random.default_rng(5)
    like, unlike = 10 * np.eye(3)[labels] + rng.normal(size=(120, 3)), rng.normal(0, 1, (50, 3))
    inside, outside = (all_scores(like, labels, 5, of, of) for of in (like, unlike))
    assert list(inside) == ["maximum_probability", "energy", "maximum_logit", "mahalanobis", "nearest_neighbour"]
    assert {name: score.shape for name, score in outside.items()} == dict.fromkeys(inside, (50,))
    assert all(auroc(inside[name], outside[name]) > 0.9 for name in inside)


@pytest.fixture(params=["all different", "with ties"])
def scores(request):
    """Of 1,000 images inside and 300 outside."""
    rng = np.random.default_rng(6)
    inside, outside = rng.normal(1, 1, 1000), rng.normal(0, 1, 300)
    return (inside, outside) if request.param == "all different" else (inside.round(1), outside.round(1))


@pytest.mark.parametrize("tpr", [0.07, 0.5, 0.95, 1.0])
def test_auroc_and_fpr_at_tpr_are_those_of_pytorch_ood_whose_positives_are_the_images_inside(scores, tpr):
    values = torch.from_numpy(np.concatenate(scores))
    labels = torch.tensor([-1] * 1000 + [0] * 300)
    assert auroc(*scores) == pytest.approx(float(functional.auroc(values, labels)), abs=1e-9)
    assert fpr_at_tpr(*scores, tpr) == pytest.approx(float(functional.fpr_at_tpr(values, labels, tpr)), abs=1e-9)


def test_fpr_at_tpr_is_on_scikit_learns_curve(scores):
    fpr, tpr, _ = roc_curve([1] * 1000 + [0] * 300, np.concatenate(scores), drop_intermediate=False)
    assert fpr_at_tpr(*scores) == pytest.approx(fpr[tpr >= 0.95].min())


def test_a_score_that_tells_all_apart_has_auroc_1_and_the_wrong_way_round_0():
    assert (auroc(np.array([2, 3]), np.array([0, 1])), fpr_at_tpr(np.array([2, 3]), np.array([0, 1]))) == (1, 0)
    assert (auroc(np.array([0, 1]), np.array([2, 3])), fpr_at_tpr(np.array([0, 1]), np.array([2, 3]))) == (0, 1)


@pytest.mark.parametrize("count", [1, 7, 20, 100, 1000])
@pytest.mark.parametrize("share", [0.07, 0.29, 0.5, 0.95, 1.0])
def test_the_threshold_is_the_largest_score_that_the_share_reach(count, share):
    inside = np.random.default_rng(count).permutation(count) * 1.0
    passing = {value: np.mean(inside >= value) for value in inside}
    assert threshold(inside, share) == max(value for value, passed in passing.items() if passed >= share)


def test_thresholds_are_those_of_val_and_say_how_much_of_test_is_below(logits):
    val, test = logits[:20], logits  # among which is the threshold itself
    found = thresholds(val, test)
    assert list(found) == list(FROM_LOGITS)
    for name, score in FROM_LOGITS.items():
        second_lowest = np.sort(score(val))[1]  # 19 of 20 are 95 %
        assert found[name] == {"threshold": second_lowest, "below": np.mean(score(test) < second_lowest)}
