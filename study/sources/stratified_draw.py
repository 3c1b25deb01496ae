"""The `data` block, and stratified draws: each split keeps the class proportions of its source."""

from typing import Annotated, Literal, get_args

import numpy as np
from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from sklearn.model_selection import train_test_split
from sklearn.utils import resample

from study.data.splits import Raw, Split, SplitName
from study.pipeline.params import Block, Refusal, Seed
from study.sources.datasets import PUBLISHED, Dataset
from study.sources.published import Published

# At least one image per class, and there are two classes or more.
Count = Annotated[int, Field(ge=2, le=10_000_000)]
FolderPath = Annotated[str, Field(min_length=1, max_length=4096)]
Side = Annotated[int, Field(ge=16, le=256)]  # pixels

Drawn = Literal["train", "val", "test"]  # val is drawn as one, then halved


class Data(Block):
    """`data`: the dataset and the sizes of its splits.

    The size of a `folder` is known once it is listed: study.sources.picture_folder checks the counts then.
    """

    dataset: Dataset
    path: FolderPath  # path and side are for `folder` only
    side: Side
    train: Count
    val: Count
    test: Count
    seed: Seed

    @field_validator("train", "val", "test")
    @classmethod
    def _one_of_each_class(cls, count: int, info: ValidationInfo) -> int:
        if (published := _published(info)) and count < len(published.facts.classes):
            raise PydanticCustomError(
                "too_few_images",
                f"{info.data['dataset']} has {len(published.facts.classes)} classes, and each needs an image",
            )
        return count

    @field_validator("val")
    @classmethod
    def _enough_to_train(cls, val: int, info: ValidationInfo) -> int:
        if (published := _published(info)) and "train" in info.data:
            asked = info.data["train"] + val
            if asked > published.train:
                raise _too_many(
                    f"data.train + data.val = {asked}: {info.data['dataset']} has {published.train} training images"
                )
        return val

    @field_validator("test")
    @classmethod
    def _enough_to_test(cls, test: int, info: ValidationInfo) -> int:
        if (published := _published(info)) and test > published.test:
            raise _too_many(f"{info.data['dataset']} has {published.test} test images")
        return test

    def picture_side(self) -> int:
        """Pixels a side of the pictures as they are kept."""
        return self.side if self.dataset == "folder" else PUBLISHED[self.dataset].side


def _published(info: ValidationInfo) -> Published | None:
    return PUBLISHED.get(info.data.get("dataset"))  # type: ignore[arg-type]  # any value may be asked for


def _too_many(message: str) -> PydanticCustomError:
    return PydanticCustomError("too_many_images", message)


def draw(raw: Raw, data: Data) -> dict[SplitName, Split]:
    """Draw disjoint `train`, `val` and `test`, each from its own images, by `data.seed`; val in its two halves.

    A split without images of its own is drawn from the training images, `test` before `val`. Indices ascend, so a test
    split of all test images keeps the published order. Raises Refusal as `places` does.
    """
    indices = places(raw.train_labels, raw.val_labels, raw.test_labels, raw.facts.classes, data)
    train = raw.train_images, raw.train_labels
    val = (raw.val_images, raw.val_labels) if len(raw.val_labels) else train
    test = (raw.test_images, raw.test_labels) if len(raw.test_labels) else train
    return {
        "train": _take(*train, indices["train"]),
        "selection": _take(*val, indices["val"][0::2]),
        "calibration": _take(*val, indices["val"][1::2]),
        "test": _take(*test, indices["test"]),
    }


def places(
    train_labels: np.ndarray, val_labels: np.ndarray, test_labels: np.ndarray, classes: list[str], data: Data
) -> dict[Drawn, np.ndarray]:
    """The indices of each split, ascending, int64. Labels: int64 (N,); a split without any is drawn from train.

    Raises Refusal when there are too few images, or too few of a class to put one in each split.
    """
    _require_enough(len(train_labels), len(val_labels), len(test_labels), len(classes), data)
    train = np.arange(len(train_labels))
    try:
        if len(test_labels):
            test = _some(test_labels, data.test, data)
        else:
            train, test = train_test_split(train, test_size=data.test, stratify=train_labels, random_state=data.seed)
        if len(val_labels):
            train, val = train[_some(train_labels[train], data.train, data)], _some(val_labels, data.val, data)
        else:
            train, val = train_test_split(
                train,
                train_size=data.train,
                test_size=data.val,
                stratify=train_labels[train],
                random_state=data.seed,
            )
    except ValueError:  # scikit-learn's, when a class has one image left
        rarest = np.bincount(train_labels, minlength=len(classes)).argmin()
        raise _too_few_of(classes[rarest], data) from None
    for labels in (
        train_labels[train],
        (val_labels if len(val_labels) else train_labels)[val],
        (test_labels if len(test_labels) else train_labels)[test],
    ):
        counts = np.bincount(labels, minlength=len(classes))
        if not counts.all():
            raise _too_few_of(classes[counts.argmin()], data)
    return {"train": np.sort(train), "val": np.sort(val), "test": np.sort(test)}


def _some(labels: np.ndarray, count: int, data: Data) -> np.ndarray:
    """The indices of `count` labels, each class in proportion."""
    drawn: np.ndarray = resample(
        np.arange(len(labels)), n_samples=count, replace=False, stratify=labels, random_state=data.seed
    )
    return drawn


def _require_enough(train: int, val: int, test: int, classes: int, data: Data) -> None:
    for split in get_args(Drawn):
        count = getattr(data, split)
        if count < classes:
            raise Refusal(f"params.yaml: data.{split} = {count}: there are {classes} classes, and each needs an image")
    for split, use, own in (("val", "validate", val), ("test", "test", test)):
        if own and getattr(data, split) > own:
            raise Refusal(f"params.yaml: data.{split} = {getattr(data, split)}: there are {own} images to {use} on")
    shared = ["train", *(split for split, own in (("val", val), ("test", test)) if not own)]
    asked = sum(getattr(data, split) for split in shared)
    if asked > train:
        keys = " + ".join(f"data.{split}" for split in shared)
        use = " to train on" if val or test else ""
        raise Refusal(f"params.yaml: {keys} = {asked}: there are {train} images{use}")


def _too_few_of(name: str, data: Data) -> Refusal:
    return Refusal(
        f"params.yaml: data.train, data.val, data.test = {data.train}, {data.val}, {data.test}: each split needs an "
        f"image of each class, and class {name!r} has too few for its share"
    )


def _take(images: np.ndarray, labels: np.ndarray, indices: np.ndarray) -> Split:
    return Split(images[indices], labels[indices], indices)
