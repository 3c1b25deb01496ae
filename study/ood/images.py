"""Images that are of none of the classes: digits, shuffled pieces, noise, and the user's own pictures."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
from PIL import Image
from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from study.pipeline.params import Block, Refusal, Seed
from study.sources import digits
from study.sources.image_files import FORMATS, InputError, find_pictures
from study.sources.picture_folder import read_images
from study.sources.stratified_draw import FolderPath

GRID = 4  # pieces per side of a shuffled image
MADE = ("digits", "patch_shuffled", "uniform_noise", "coloured_noise")  # the sets that need no pictures of the user's


class Ood(Block):
    """`ood`: telling images of none of the classes from the others."""

    images: Annotated[int, Field(ge=10, le=1_000_000)]  # at most, of the test images and of each set outside
    train_images: Annotated[int, Field(ge=10, le=1_000_000)]  # at most, that new images are compared with
    neighbours: Annotated[int, Field(ge=1, le=10_000)]  # k: the distance is that to the k-th nearest training image
    paths: Annotated[list[FolderPath], Field(max_length=20)]  # folders of pictures, each a set of its own
    seed: Seed

    @field_validator("neighbours")
    @classmethod
    def _among_the_training_images(cls, neighbours: int, info: ValidationInfo) -> int:
        images = info.data.get("train_images", neighbours)
        if neighbours > images:
            raise PydanticCustomError(
                "too_many_neighbours", f"there are {images} images to compare with (ood.train_images)"
            )
        return neighbours


def outside_sets(
    images: np.ndarray, classes: list[str], block: Ood, folders: Iterable[Path]
) -> Iterator[tuple[str, np.ndarray]]:
    """The name and the images, uint8 (M, H, H, 3), of each set outside the classes.

    images: uint8 (N, H, H, 3), of the classes. The digits are left out when they are the classes. M is N in a set made
    from `images` and at most `block.images` in the others. Raises Refusal as `require_pictures` does, and one that
    names the pictures that cannot be read.
    """
    side = images.shape[1]
    pictures = require_pictures(folders)
    written = digits.load()
    if classes != written.facts.classes:
        every = np.concatenate([written.train_images, written.test_images])
        yield "digits", resized(every[_draw(len(every), block)], side)
    yield "patch_shuffled", patch_shuffled(images, block.seed)
    yield "uniform_noise", uniform_noise(images, block.seed)
    yield "coloured_noise", coloured_noise(images, block.seed)
    for name, files in pictures.items():
        yield name, read_images([files[place] for place in _draw(len(files), block)], side)


def require_pictures(folders: Iterable[Path]) -> dict[str, list[Path]]:
    """The picture files of each folder, by the folder's name. Lists the folders and opens no picture.

    Raises Refusal, one line that names ood.paths, when a folder is missing or has no pictures, or its name cannot be
    that of a set.
    """
    found: dict[str, list[Path]] = {}
    for folder in folders:
        name = os.path.basename(os.path.abspath(folder))
        if not folder.is_dir():
            raise _refusal(folder, "there is no such folder (a path that starts with ~ is not expanded)")
        if not name.isprintable() or not name:
            raise _refusal(folder, f"{name!r} cannot name a set: rename the folder, in printable UTF-8")
        if name in MADE or name in found:
            raise _refusal(folder, f"another set is called {name}: rename the folder")
        try:
            found[name] = find_pictures(folder)
        except InputError as fault:
            raise _refusal(folder, f"{fault} ({', '.join(FORMATS)})") from None
    return found


def _refusal(folder: Path, fault: str) -> Refusal:
    path = str(folder)
    return Refusal(f"params.yaml: ood.paths: {path if path.isprintable() else repr(path)}: {fault}")


def _draw(available: int, block: Ood) -> np.ndarray:
    """At most `block.images` of `available` places, without replacement, in ascending order: int64."""
    return np.sort(np.random.default_rng(block.seed).permutation(available)[: block.images])


def resized(images: np.ndarray, side: int) -> np.ndarray:
    """Bilinear, from uint8 (N, H, W, 3) to (N, side, side, 3)."""
    pictures = (Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR) for image in images)
    return np.stack([np.asarray(picture) for picture in pictures])


def patch_shuffled(images: np.ndarray, seed: int) -> np.ndarray:
    """Each image, uint8 (N, H, H, 3), cut in GRID x GRID squares that change places, in an order of its own.

    Where H is no multiple of GRID, the last columns and rows stay.
    """
    count, cell = len(images), images.shape[1] // GRID
    whole = images[:, : GRID * cell, : GRID * cell]
    squares = whole.reshape(count, GRID, cell, GRID, cell, 3).swapaxes(2, 3).reshape(count, GRID**2, cell, cell, 3)
    orders = np.random.default_rng(seed).permuted(np.tile(np.arange(GRID**2), (count, 1)), axis=1)
    mixed = np.take_along_axis(squares, orders[:, :, None, None, None], axis=1)
    shuffled = images.copy()
    shuffled[:, : GRID * cell, : GRID * cell] = (
        mixed.reshape(count, GRID, GRID, cell, cell, 3).swapaxes(2, 3).reshape(whole.shape)
    )
    return shuffled


def uniform_noise(images: np.ndarray, seed: int) -> np.ndarray:
    """As many images of the same size, uint8 (N, H, W, 3), in which every value from 0 to 255 is as likely."""
    return np.random.default_rng(seed).integers(0, 256, images.shape, dtype=np.uint8)


def coloured_noise(images: np.ndarray, seed: int) -> np.ndarray:
    """As many images of the same size, uint8 (N, H, W, 3), of Gaussian noise with the mean and std of each channel."""
    rng = np.random.default_rng(seed)
    mean, std = images.mean(axis=(0, 1, 2)), images.std(axis=(0, 1, 2))
    noise = [rng.normal(mean, std, images.shape[1:]).round().clip(0, 255).astype(np.uint8) for _ in images]
    return np.stack(noise)
