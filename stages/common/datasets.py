"""The `data` block, and the arrays under data/: the raw images, and the splits drawn from them.

data/raw/      train_images.npy, train_labels.npy, test_images.npy, test_labels.npy, classes.json
data/subset/   train.npz, val.npz, test.npz (images, labels, indices into the raw arrays), classes.json
"""

import json
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from stages.common.params import Block

Dataset = Literal["cifar10", "digits"]
SplitName = Literal["train", "val", "test"]
Count = Annotated[int, Field(ge=10)]  # stratified: at least one image of each of the ten classes

POOLS = {"cifar10": (50_000, 10_000), "digits": (1_437, 360)}  # images that there are to train and to test on


class Data(Block):
    """`data`: how many images of which dataset. `train` and `val` are drawn from the images to train on."""

    dataset: Dataset
    train: Count
    val: Count
    test: Count
    seed: Annotated[int, Field(ge=0, lt=2**32)]

    @field_validator("val")
    @classmethod
    def _enough_to_train(cls, val: int, info: ValidationInfo) -> int:
        if {"dataset", "train"} <= info.data.keys():
            asked, (available, _) = info.data["train"] + val, POOLS[info.data["dataset"]]
            if asked > available:
                raise _too_many(
                    f"data.train + data.val = {asked}: {info.data['dataset']} has {available} training images"
                )
        return val

    @field_validator("test")
    @classmethod
    def _enough_to_test(cls, test: int, info: ValidationInfo) -> int:
        if "dataset" in info.data:
            _, available = POOLS[info.data["dataset"]]
            if test > available:
                raise _too_many(f"{info.data['dataset']} has {available} test images")
        return test


def _too_many(message: str) -> PydanticCustomError:
    return PydanticCustomError("too_many_images", message)


class Raw(NamedTuple):
    """A dataset as published. Images uint8 (N, 32, 32, 3), labels int64 (N,) in [0, C)."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: list[str]


class Split(NamedTuple):
    """Images uint8 (N, 32, 32, 3), labels int64 (N,), and int64 indices (N,) into the raw arrays they come from."""

    images: np.ndarray
    labels: np.ndarray
    indices: np.ndarray


def save_raw(raw: Raw, folder: Path) -> None:
    for name, array in raw._asdict().items():
        if name != "classes":
            np.save(folder / f"{name}.npy", array)
    save_classes(raw.classes, folder)


def load_raw(root: Path) -> Raw:
    folder = root / "data/raw"
    arrays = (np.load(folder / f"{name}.npy") for name in Raw._fields if name != "classes")
    return Raw(*arrays, json.loads((folder / "classes.json").read_text()))


def save_split(split: Split, folder: Path, name: SplitName) -> None:
    np.savez(folder / f"{name}.npz", **split._asdict())


def load_split(root: Path, name: SplitName) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, 32, 32, 3) and labels int64 (N,) of a split that `subsample` drew."""
    with np.load(root / f"data/subset/{name}.npz") as arrays:
        return arrays["images"], arrays["labels"]


def save_classes(classes: list[str], folder: Path) -> None:
    (folder / "classes.json").write_text(json.dumps(classes, indent=2) + "\n")


def class_names(root: Path) -> list[str]:
    """The names of the C classes, in the order of their labels."""
    return json.loads((root / "data/subset/classes.json").read_text())
