"""Stratified draws: each split has the classes in the proportions of the images that it is drawn from."""

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import resample

from stages.common.datasets import Data, Raw, Split, SplitName


def draw(raw: Raw, data: Data) -> dict[SplitName, Split]:
    """Disjoint `train` and `val` from the images to train on, and `test` from the test images, by `data.seed`.

    Indices ascend, so that all the test images are the published test set in its own order.
    """
    train, val = train_test_split(
        np.arange(len(raw.train_labels)),
        train_size=data.train,
        test_size=data.val,
        stratify=raw.train_labels,
        random_state=data.seed,
    )
    test = resample(
        np.arange(len(raw.test_labels)),
        n_samples=data.test,
        replace=False,
        stratify=raw.test_labels,
        random_state=data.seed,
    )
    return {
        "train": _take(raw.train_images, raw.train_labels, np.sort(train)),
        "val": _take(raw.train_images, raw.train_labels, np.sort(val)),
        "test": _take(raw.test_images, raw.test_labels, np.sort(test)),
    }


def _take(images: np.ndarray, labels: np.ndarray, indices: np.ndarray) -> Split:
    return Split(images[indices], labels[indices], indices)
