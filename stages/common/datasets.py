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

from stages.common.params import Block, Seed

Dataset = Literal["cifar10", "digits", "folder"]
SplitName = Literal["train", "val", "test"]
# Stratified: at least one image of each class, of which there are two or more.
Count = Annotated[int, Field(ge=2, le=10_000_000)]
FolderPath = Annotated[str, Field(min_length=1, max_length=4096)]
Side = Annotated[int, Field(ge=16, le=256)]  # pixels

POOLS = {"cifar10": (50_000, 10_000), "digits": (1_437, 360)}  # images that there are to train and to test on
CLASSES = 10  # that each dataset of POOLS has


class Data(Block):
    """`data`: how many images of which dataset. `train` and `val` are drawn from the images to train on.

    What `folder` has is known when its folder is listed: stages.common.picture_folder checks the numbers then.
    """

    dataset: Dataset
    path: FolderPath  # of `folder` alone, as is the side
    side: Side
    train: Count
    val: Count
    test: Count
    seed: Seed

    @field_validator("train", "val", "test")
    @classmethod
    def _one_of_each_class(cls, count: int, info: ValidationInfo) -> int:
        if info.data.get("dataset") in POOLS and count < CLASSES:
            raise PydanticCustomError(
                "too_few_images", f"{info.data['dataset']} has {CLASSES} classes, and each needs an image"
            )
        return count

    @field_validator("val")
    @classmethod
    def _enough_to_train(cls, val: int, info: ValidationInfo) -> int:
        if info.data.get("dataset") in POOLS and "train" in info.data:
            asked, (available, _) = info.data["train"] + val, POOLS[info.data["dataset"]]
            if asked > available:
                raise _too_many(
                    f"data.train + data.val = {asked}: {info.data['dataset']} has {available} training images"
                )
        return val

    @field_validator("test")
    @classmethod
    def _enough_to_test(cls, test: int, info: ValidationInfo) -> int:
        if info.data.get("dataset") in POOLS:
            _, available = POOLS[info.data["dataset"]]
            if test > available:
                raise _too_many(f"{info.data['dataset']} has {available} test images")
        return test


def _too_many(message: str) -> PydanticCustomError:
    return PydanticCustomError("too_many_images", message)


class Raw(NamedTuple):
    """A dataset as published. Images uint8 (N, H, W, 3), labels int64 (N,) in [0, C).

    Without test images, of shape (0, H, W, 3), the test split is drawn from the images to train on.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: list[str]


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
    folder = root / "data/raw"
    arrays = (np.load(folder / f"{name}.npy") for name in Raw._fields if name != "classes")
    return Raw(*arrays, json.loads((folder / "classes.json").read_text()))


def save_split(split: Split, folder: Path, name: SplitName) -> None:
    np.savez(folder / f"{name}.npz", **split._asdict())


def load_split(root: Path, name: SplitName) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, H, W, 3) and labels int64 (N,) of a split that `subsample` drew."""
    with np.load(root / f"data/subset/{name}.npz") as arrays:
        return arrays["images"], arrays["labels"]


def save_classes(classes: list[str], folder: Path) -> None:
    (folder / "classes.json").write_text(json.dumps(classes, indent=2) + "\n")


def class_names(root: Path) -> list[str]:
    """The names of the C classes, in the order of their labels."""
    return json.loads((root / "data/subset/classes.json").read_text())
