"""Scores of how much an image is like the training images, and how well a score tells other images from them.

Every score is higher for an image that is more like the training images. `logits`: (N, C), unnormalised, before
temperature scaling; `features`: (N, F), pooled. Scores are float64 (N,). `inside` and `outside` are a score's values
for images of the classes and for images of none of them.
"""

import numpy as np
from scipy.special import logsumexp, softmax
from sklearn.covariance import EmpiricalCovariance
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

SHARE = 0.95  # of the images inside that a threshold accepts, here and in the column `fpr95`


def maximum_probability(logits: np.ndarray) -> np.ndarray:
    """The largest softmax probability. Hendrycks and Gimpel 2017.

    >>> maximum_probability(np.log([[1.0, 3.0]]))
    array([0.75])
    """
    largest: np.ndarray = softmax(logits.astype(np.float64), axis=1).max(axis=1)
    return largest


def energy(logits: np.ndarray) -> np.ndarray:
    """The logarithm of the sum of exponentials, which is minus the energy. Liu et al. 2020.

    >>> np.exp(energy(np.log([[1.0, 3.0]]))).round(9)
    array([4.])
    """
    negative: np.ndarray = logsumexp(logits.astype(np.float64), axis=1)
    return negative


def maximum_logit(logits: np.ndarray) -> np.ndarray:
    """The largest logit. Hendrycks et al. 2022.

    >>> maximum_logit(np.array([[1, 3]]))
    array([3.])
    """
    largest: np.ndarray = logits.astype(np.float64).max(axis=1)
    return largest


def mahalanobis(train_features: np.ndarray, train_labels: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Minus the squared Mahalanobis distance to the nearest class mean, by one covariance for all classes.

    train_features: (M, F); train_labels: (M,), integers. The precision is the covariance's pseudo-inverse, so that a
    direction in which no class varies, such as a dead unit, adds nothing. Raises ValueError, quoting the shapes, when F
    differs. Lee et al. 2018.

    >>> mahalanobis(np.array([[-1.0, 7.0], [1.0, 7.0]]), np.array([0, 0]), np.array([[3.0, 8.0]]))
    array([-9.])
    """
    train_features, features = train_features.astype(np.float64), features.astype(np.float64)
    classes, place = np.unique(train_labels, return_inverse=True)
    means = np.stack([train_features[place == number].mean(axis=0) for number in range(len(classes))])
    precision = EmpiricalCovariance(assume_centered=True).fit(train_features - means[place]).precision_
    squared = [((features - mean) @ precision * (features - mean)).sum(axis=1) for mean in means]
    nearest: np.ndarray = np.min(squared, axis=0)
    return -nearest


def nearest_neighbour(train_features: np.ndarray, features: np.ndarray, neighbours: int) -> np.ndarray:
    """Minus the distance to the k-th nearest training image, where k = `neighbours` and features have unit length.

    train_features: (M, F). Features of zeros stay zeros. Raises ValueError, quoting the numbers, when k is more than M
    or F differs. Sun et al. 2022.

    >>> nearest_neighbour(np.array([[2.0, 0.0], [-5.0, 0.0]]), np.array([[3.0, 0.0]]), 2)
    array([-2.])
    """
    train_features, features = (normalize(of.astype(np.float64)) for of in (train_features, features))
    distances, _ = NearestNeighbors(n_neighbors=neighbours).fit(train_features).kneighbors(features)
    furthest: np.ndarray = distances[:, -1]
    return -furthest


FROM_LOGITS = {"maximum_probability": maximum_probability, "energy": energy, "maximum_logit": maximum_logit}


def all_scores(
    train_features: np.ndarray, train_labels: np.ndarray, neighbours: int, features: np.ndarray, logits: np.ndarray
) -> dict[str, np.ndarray]:
    """Every score of N images, by name."""
    return {
        **{name: score(logits) for name, score in FROM_LOGITS.items()},
        "mahalanobis": mahalanobis(train_features, train_labels, features),
        "nearest_neighbour": nearest_neighbour(train_features, features, neighbours),
    }


def auroc(inside: np.ndarray, outside: np.ndarray) -> float:
    """The probability that an image inside scores higher than one outside, where a tie counts half: in [0, 1].

    It is 0.5 when the score says nothing.

    >>> auroc(np.array([2.0, 3.0]), np.array([1.0, 2.0]))
    0.875
    """
    is_inside = np.repeat([True, False], [len(inside), len(outside)])
    return float(roc_auc_score(is_inside, np.concatenate([inside, outside])))


def threshold(inside: np.ndarray, share: float) -> float:
    """The largest of the scores that at least `share` of the images reach. share: in (0, 1].

    >>> threshold(np.array([4.0, 1.0, 3.0, 2.0]), 0.75)
    2.0
    """
    reached = np.arange(1, len(inside) + 1) / len(inside)
    return float(np.sort(inside)[::-1][np.searchsorted(reached, share)])


def fpr_at_tpr(inside: np.ndarray, outside: np.ndarray, tpr: float = SHARE) -> float:
    """The share of images outside that pass the threshold which a share `tpr` of those inside pass: in [0, 1].

    >>> fpr_at_tpr(np.array([4.0, 3.0, 2.0, 1.0]), np.array([2.0, 1.5, 0.0, 5.0]), 0.75)
    0.5
    """
    return float((outside >= threshold(inside, tpr)).mean())


def thresholds(val_logits: np.ndarray, test_logits: np.ndarray) -> dict[str, dict[str, float]]:
    """Of each score of FROM_LOGITS, the `threshold` that SHARE of val reach, and the share of test `below` it."""
    found = {}
    for name, score in FROM_LOGITS.items():
        lowest = threshold(score(val_logits), SHARE)
        found[name] = {"threshold": lowest, "below": float((score(test_logits) < lowest).mean())}
    return found
