"""Stratified draws: each split has the classes in the proportions of the images that it is drawn from."""

from typing import get_args

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import resample

from stages.common.datasets import Data, Raw, Split, SplitName
from stages.common.params import Refusal


def draw(raw: Raw, data: Data) -> dict[SplitName, Split]:
    """Disjoint `train` and `val` from the images to train on, and `test` from the test images, by `data.seed`.

    A dataset without test images has `test` drawn from the others first. Indices ascend, so that all the test images
    are the published test set in its own order.
    Raises Refusal as `places` does.
    """
    indices = places(raw.train_labels, raw.test_labels, raw.classes, data)
    tested = (raw.test_images, raw.test_labels) if len(raw.test_labels) else (raw.train_images, raw.train_labels)
    return {
        "train": _take(raw.train_images, raw.train_labels, indices["train"]),
        "val": _take(raw.train_images, raw.train_labels, indices["val"]),
        "test": _take(*tested, indices["test"]),
    }


def places(
    train_labels: np.ndarray, test_labels: np.ndarray, classes: list[str], data: Data
) -> dict[SplitName, np.ndarray]:
    """The indices of each split, ascending, int64. Labels: int64 (N,); no test labels where `test` is drawn from all.

    Raises Refusal when there are too few images, or too few of a class for one of them in each split.
    """
    _require_enough(len(train_labels), len(test_labels), len(classes), data)
    try:
        left, test = _test_places(train_labels, test_labels, data)
        train, val = train_test_split(
            left,
            train_size=data.train,
            test_size=data.val,
            stratify=train_labels[left],
            random_state=data.seed,
        )
    except ValueError:  # scikit-learn's, where a class has one image left
        rarest = np.bincount(train_labels, minlength=len(classes)).argmin()
        raise _too_few_of(classes[rarest], data) from None
    drawn = {"train": train_labels[train], "val": train_labels[val]}
    drawn["test"] = test_labels[test] if len(test_labels) else train_labels[test]
    for labels in drawn.values():
        counts = np.bincount(labels, minlength=len(classes))
        if not counts.all():
            raise _too_few_of(classes[counts.argmin()], data)
    return {"train": np.sort(train), "val": np.sort(val), "test": np.sort(test)}


def _test_places(train_labels: np.ndarray, test_labels: np.ndarray, data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Those left to train on, and those drawn to test."""
    everything = np.arange(len(train_labels))
    if not len(test_labels):
        return train_test_split(everything, test_size=data.test, stratify=train_labels, random_state=data.seed)
    return everything, resample(
        np.arange(len(test_labels)),
        n_samples=data.test,
        replace=False,
        stratify=test_labels,
        random_state=data.seed,
    )


def _require_enough(train: int, test: int, classes: int, data: Data) -> None:
    for split in get_args(SplitName):
        count = getattr(data, split)
        if count < classes:
            raise Refusal(f"params.yaml: data.{split} = {count}: there are {classes} classes, and each needs an image")
    asked = data.train + data.val
    if test and data.test > test:
        raise Refusal(f"params.yaml: data.test = {data.test}: there are {test} images to test on")
    if test and asked > train:
        raise Refusal(f"params.yaml: data.train + data.val = {asked}: there are {train} images to train on")
    if not test and asked + data.test > train:
        raise Refusal(f"params.yaml: data.train + data.val + data.test = {asked + data.test}: there are {train} images")


def _too_few_of(name: str, data: Data) -> Refusal:
    return Refusal(
        f"params.yaml: data.train, data.val, data.test = {data.train}, {data.val}, {data.test}: each split needs an "
        f"image of each class, and class {name!r} has too few for its share"
    )


def _take(images: np.ndarray, labels: np.ndarray, indices: np.ndarray) -> Split:
    return Split(images[indices], labels[indices], indices)
