"""Tiny ImageNet: 200 of ImageNet's classes at 64 x 64 pixels, from the official folder to arrays in memory."""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from study.pipeline.params import Refusal
from study.pipeline.torchvision_shim import torchvision

URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
SIDE = 64  # pixels

WAY_OUT = "point TINY_IMAGENET_DIR to the folder that holds wnids.txt, train/ and val/ of the official archive"


class Split(NamedTuple):
    """images: uint8 (N, 64, 64, 3); labels: int64 (N,), positions in `TinyImageNet.classes`."""

    images: np.ndarray
    labels: np.ndarray


class TinyImageNet(NamedTuple):
    classes: list[str]  # WordNet identifiers
    train: Split
    val: Split
    key: str  # changes with the pictures' names, sizes and labels


def find(cache: Path) -> Path:
    """TINY_IMAGENET_DIR, or the official archive, unpacked in `cache` once its md5 is right.

    Raises Refusal when there is no such folder and nothing can be downloaded.
    """
    if given := os.environ.get("TINY_IMAGENET_DIR"):
        return Path(given)
    folder = cache / "tiny-imagenet-200"
    if not folder.exists():
        unpacking = cache / "unpacking"
        fetch = torchvision.datasets.utils.download_and_extract_archive
        try:
            fetch(URL, cache, unpacking, md5=MD5, remove_finished=True)
        except (OSError, RuntimeError) as fault:
            raise Refusal(f"{URL} could not be downloaded: {fault}; try again or {WAY_OUT}") from None
        (unpacking / folder.name).rename(folder)
    return folder


def load(folder: Path, cache: Path) -> TinyImageNet:
    """Read the official layout; the decoded pictures are kept in `cache`, so that a second call takes seconds.

    Raises Refusal, naming the path, on a missing folder, class or picture, a bad annotation or a bad picture.
    """
    classes = _lines(folder / "wnids.txt")
    listings = {"train": _train_listing(folder, classes), "val": _val_listing(folder, classes)}
    key = hashlib.sha256()
    for listing in listings.values():
        for path, label in listing:
            key.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size} {label}\n".encode())
    digest = key.hexdigest()[:16]
    splits = {
        name: Split(
            _decoded([path for path, _ in listing], cache / f"{digest}_{name}.npy"),
            np.array([label for _, label in listing], dtype=np.int64),
        )
        for name, listing in listings.items()
    }
    return TinyImageNet(classes, **splits, key=digest)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except FileNotFoundError:
        raise Refusal(f"{path} is missing: {WAY_OUT}") from None


def _train_listing(folder: Path, classes: list[str]) -> list[tuple[Path, int]]:
    listing = []
    for label, wnid in enumerate(classes):
        images = folder / "train" / wnid / "images"
        paths = sorted(images.glob("*.JPEG"))
        if not paths:
            raise Refusal(f"{images} holds no .JPEG: {WAY_OUT}")
        listing += [(path, label) for path in paths]
    return listing


def _val_listing(folder: Path, classes: list[str]) -> list[tuple[Path, int]]:
    annotations = folder / "val" / "val_annotations.txt"
    labels = {wnid: label for label, wnid in enumerate(classes)}
    listing = []
    for number, line in enumerate(_lines(annotations), start=1):
        name, _, rest = line.partition("\t")
        wnid = rest.partition("\t")[0]
        path = folder / "val" / "images" / name
        if wnid not in labels:
            raise Refusal(f"{annotations}, line {number}: class {wnid!r} is not in wnids.txt: {WAY_OUT}")
        if not path.is_file():
            raise Refusal(f"{annotations}, line {number}: {path} is missing: {WAY_OUT}")
        listing.append((path, labels[wnid]))
    if not listing:
        raise Refusal(f"{annotations} is empty: {WAY_OUT}")
    return listing


def _decoded(paths: list[Path], kept: Path) -> np.ndarray:
    if not kept.exists():
        images = np.empty((len(paths), SIDE, SIDE, 3), dtype=np.uint8)
        for index, path in enumerate(tqdm(paths, desc="decoding", unit=" pictures", leave=False, disable=None)):
            images[index] = _picture(path)
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(".partial.npy")
        np.save(partial, images)
        partial.replace(kept)
    return np.load(kept)


def _picture(path: Path) -> Image.Image:
    try:
        with Image.open(path) as picture:
            rgb = picture.convert("RGB")  # some of the official pictures are grey
    except (UnidentifiedImageError, OSError) as fault:
        raise Refusal(f"{path} is no readable picture: {fault}") from None
    if rgb.size != (SIDE, SIDE):
        raise Refusal(f"{path} is {rgb.width} x {rgb.height} pixels, not {SIDE} x {SIDE}: {WAY_OUT}")
    return rgb
