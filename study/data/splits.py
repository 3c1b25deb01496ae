"""The arrays under data/: the raw images, and the splits drawn from them.

data/raw/      {train,val,test}_images.npy, {train,val,test}_labels.npy, dataset.json
data/subset/   {train,selection,calibration,test}.npz (images, labels, indices into the raw arrays), dataset.json

`selection` and `calibration` are the two halves of val. The first chooses the checkpoint, the second fits the
temperature: a checkpoint does best on the images that chose it, and a temperature fitted on those would be too low.
"""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from study.pipeline.files import read_json, write_json

SplitName = Literal["train", "selection", "calibration", "test"]
FACTS = "dataset.json"


class Facts(NamedTuple):
    """What is known of a dataset besides its images."""

    title: str  # in tables and sentences
    classes: list[str]  # the names of the C classes, in the order of their labels
    mirrors: bool  # whether an image's mirror image could be in it too


class Raw(NamedTuple):
    """A dataset as published. Images uint8 (N, H, W, 3), labels int64 (N,) in [0, C).

    Where it has no val or no test images, theirs is of shape (0, H, W, 3), and that split is drawn from train_images.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    val_images: np.ndarray
    val_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    facts: Facts

    @classmethod
    def without_val(
        cls, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], facts: Facts
    ) -> "Raw":
        """A dataset of train and test images, each with their labels."""
        return cls(*train, train[0][:0], train[1][:0], *test, facts)


class Examples(NamedTuple):
    """inputs: (N, ...), what a network or a part of it takes; labels: int64 (N,)."""

    inputs: np.ndarray
    labels: np.ndarray


class Split(NamedTuple):
    """Images uint8 (N, H, W, 3), labels int64 (N,), and int64 indices (N,) into the raw arrays they come from."""

    images: np.ndarray
    labels: np.ndarray
    indices: np.ndarray

    @property
    def examples(self) -> Examples:
        return Examples(self.images, self.labels)


def save_raw(raw: Raw, folder: Path) -> None:
    for name, array in raw._asdict().items():
        if name != "facts":
            np.save(folder / f"{name}.npy", array)
    save_facts(raw.facts, folder)


def load_raw(root: Path) -> Raw:
    """The arrays stay on disk until read."""
    folder = root / "data/raw"
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="c") for name in Raw._fields if name != "facts"}
    return Raw(**arrays, facts=_facts(folder))


def save_split(split: Split, folder: Path, name: SplitName) -> None:
    np.savez(folder / f"{name}.npz", **split._asdict())


def load_split(root: Path, name: SplitName) -> Split:
    """A split that `subsample` drew."""
    with np.load(split_path(root, name)) as arrays:
        return Split(**arrays)


def load_labels(root: Path, name: SplitName) -> np.ndarray:
    """The labels alone, int64 (N,), without reading the images."""
    with np.load(split_path(root, name)) as arrays:
        labels: np.ndarray = arrays["labels"]
    return labels


def split_path(root: Path, name: SplitName) -> Path:
    return root / f"data/subset/{name}.npz"


def save_facts(facts: Facts, folder: Path) -> None:
    write_json(folder / FACTS, facts._asdict())


def load_facts(root: Path) -> Facts:
    """Of the dataset that the splits were drawn from."""
    return _facts(root / "data/subset")


def _facts(folder: Path) -> Facts:
    return Facts(**read_json(folder / FACTS))
