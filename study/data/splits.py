"""The arrays under data/: the raw images, and the splits drawn from them.

data/raw/      {train,val,test}_images.npy, {train,val,test}_labels.npy, classes.json
data/subset/   train.npz, val.npz, test.npz (images, labels, indices into the raw arrays), classes.json
"""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from study.pipeline.files import read_json, write_json

SplitName = Literal["train", "val", "test"]


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
    classes: list[str]

    @classmethod
    def without_val(
        cls, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], classes: list[str]
    ) -> "Raw":
        """A dataset of train and test images, each with their labels."""
        return cls(*train, train[0][:0], train[1][:0], *test, classes)


class Split(NamedTuple):
    """Images uint8 (N, H, W, 3), labels int64 (N,), and int64 indices (N,) into the raw arrays they come from."""

    images: np.ndarray
    labels: np.ndarray
    indices: np.ndarray


def save_raw(raw: Raw, folder: Path) -> None:
    for name, array in raw._asdict().items():
        if name != "classes":
            np.save(folder / f"{name}.npy", array)
    save_classes(raw.classes, folder)


def load_raw(root: Path) -> Raw:
    """The arrays stay on disk until read."""
    folder = root / "data/raw"
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="c") for name in Raw._fields if name != "classes"}
    return Raw(**arrays, classes=read_json(folder / "classes.json"))


def save_split(split: Split, folder: Path, name: SplitName) -> None:
    np.savez(folder / f"{name}.npz", **split._asdict())


def load_split(root: Path, name: SplitName) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, H, W, 3) and labels int64 (N,) of a split that `subsample` drew."""
    with np.load(root / f"data/subset/{name}.npz") as arrays:
        return arrays["images"], arrays["labels"]


def save_classes(classes: list[str], folder: Path) -> None:
    write_json(folder / "classes.json", classes)


def class_names(root: Path) -> list[str]:
    """The names of the C classes, in the order of their labels."""
    names: list[str] = read_json(root / "data/subset/classes.json")
    return names


class Examples(NamedTuple):
    """inputs: (N, ...), what the trained part takes as input; labels: int64 (N,)."""

    inputs: np.ndarray
    labels: np.ndarray


def halves(val: Examples) -> tuple[Examples, Examples]:
    """Split val in two: the first half selects the checkpoint, the second fits the temperature.

    A checkpoint does best on the images that selected it; a temperature fitted on those would be too low.
    """
    selection, calibration = (Examples(val.inputs[start::2], val.labels[start::2]) for start in (0, 1))
    return selection, calibration
