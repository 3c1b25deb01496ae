"""A folder of the user's own pictures: listed without opening any, then read as squares.

    DIR/<class>/...               the test split is drawn from all pictures
    DIR/train/<class>/..., DIR/test/<class>/...

A picture belongs to the class whose folder holds it, at any depth. Files without a picture's suffix and hidden entries
(their names start with a dot) are skipped.
"""

import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from study.data.splits import Raw
from study.pipeline.params import Refusal
from study.sources.image_files import FORMATS, SUFFIXES, InputError, decode, read_bytes, reason, silence
from study.sources.stratified_draw import Data, places

MOST_CLASSES = 256  # report.html stores a label in one byte
NAMED = 3  # unreadable pictures named in a message
THREADS = min(os.cpu_count() or 1, 4)  # each may hold a picture of hundreds of megabytes
LEAST_TESTED = 10  # images: the minimum of corrupt_eval, adversarial and gradcam
# Shares of val (of the images in train/, where there is a test/) and of test, the usual ones first.
SHARES = ((0.1, 0.2), (0.15, 0.2), (0.2, 0.2), (0.25, 0.25), (0.3, 0.3), (1 / 3, 1 / 3), (0.4, 0.2), (0.5, 0.2))
NOT_CLASSES = {"train", "test", "val", "valid", "validation"}


class Listing(NamedTuple):
    """Files and their labels, int64 (N,), in shuffled order. Without test files, test is drawn from the train files."""

    classes: list[str]
    train_files: list[Path]
    train_labels: np.ndarray
    test_files: list[Path]
    test_labels: np.ndarray


def list_pictures(folder: Path) -> Listing:
    """List the pictures of each class. Raises Refusal, one line, when the folders do not match the layouts above."""
    if not folder.is_dir():
        raise _refusal(folder, "there is no such folder (a path that starts with ~ is not expanded)")
    names = _folders(folder)
    if {"train", "test"} <= set(names):
        if extra := sorted(set(names) - {"train", "test"}):
            raise _refusal(
                folder, f"beside train/ and test/ it has {_named(extra)}: move its classes into train/ (val is drawn "
                "from train/), or move the folder away"
            )  # fmt: skip
        train, test = _classes(folder / "train"), _classes(folder / "test")
        if train.keys() != test.keys():
            odd = sorted(train.keys() ^ test.keys())
            where = "train/ and not in test/" if odd[0] in train else "test/ and not in train/"
            raise _refusal(folder, f"class {_shown(odd[0])} is in {where}: both need every class")
    elif set(names) <= NOT_CLASSES and names:
        raise _refusal(folder, f"it has {_named(names)}: give it train/ and test/, or only a folder per class")
    else:
        train, test = _classes(folder), {}
    train_files, train_labels = _mixed(train)
    test_files, test_labels = _mixed(test)
    return Listing(list(train), train_files, train_labels, test_files, test_labels)


def read_pictures(listing: Listing, side: int) -> Raw:
    """Read every picture as inference does, as squares of `side` pixels.

    Raises Refusal, one line that names the first unreadable ones.
    """
    files = [*listing.train_files, *listing.test_files]
    images = np.empty((len(files), side, side, 3), np.uint8)

    def read(place: int) -> str | None:
        try:
            with open(files[place], "rb") as file:
                images[place] = decode(read_bytes(file), (side, side))
        except (InputError, OSError) as fault:
            return f"{_shown(str(files[place]))} ({reason(fault)})"
        return None

    faults = [fault for fault in _in_threads(read, len(files)) if fault]
    if faults:
        more = f" and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        raise Refusal(
            f"{len(faults)} of {len(files)} pictures cannot be read: {', '.join(faults[:NAMED])}{more}; repair "
            "them, or remove them from the folder"
        )
    trained = len(listing.train_files)
    return Raw(images[:trained], listing.train_labels, images[trained:], listing.test_labels, listing.classes)


def require_enough(data: Data, listing: Listing, wanted: Mapping[str, int]) -> None:
    """Check the split against the folder before any picture is opened.

    wanted: the test images that other parameters ask for, by key, such as corrupt_eval.images. Raises Refusal with a
    command that works, when the split does not fit.
    """
    fault: str | None
    counts: Data | None
    try:
        places(listing.train_labels, listing.test_labels, listing.classes, data)
        fault, counts = None, data
    except Refusal as refusal:
        fault, counts = str(refusal), _counts_that_work(data, listing)
    if counts is not None:
        lower = {key: counts.test for key, images in wanted.items() if images > counts.test}
        if not fault and lower:
            key = next(iter(lower))
            fault = f"params.yaml: {key} = {wanted[key]}: there are {data.test} test images (data.test)"
        way_out = f"these numbers work: {_command(counts, lower)}"
    else:
        way_out = "add pictures, so that each split has every class, and test has at least 10"
    if fault:
        raise Refusal(f"{fault}; {_inventory(data.path, listing)}; {way_out}")


def _folders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def _classes(folder: Path) -> dict[str, list[Path]]:
    """The pictures of each class, sorted by class name."""
    classes = {name: sorted(_pictures(folder / name), key=os.fsencode) for name in _folders(folder)}
    if not classes:
        raise _refusal(folder, "it has no folders: put each class's pictures in a folder named after the class")
    if len(classes) == 1:
        raise _refusal(folder, f"it has a folder for only one class, {_shown(*classes)}: at least two are needed")
    if len(classes) > MOST_CLASSES:
        raise _refusal(folder, f"it has {len(classes)} classes: at most {MOST_CLASSES} are allowed")
    for name, pictures in classes.items():
        if not name.isprintable():
            raise _refusal(folder, f"the folder {name!r} cannot name a class: rename it, in printable UTF-8")
        if not pictures:
            kinds = ", ".join(FORMATS)
            raise _refusal(
                folder, f"the folder of class {_shown(name)} has no pictures ({kinds}): add some, or move it"
            )
    return classes


def _pictures(folder: Path) -> Iterator[Path]:
    """Pictures at any depth. A broken link counts, so that reading it reports it; links to folders do not."""
    for entry in os.scandir(folder):
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _pictures(folder / entry.name)
        elif Path(entry.name).suffix.lower() in SUFFIXES and (entry.is_file() or entry.is_symlink()):
            yield folder / entry.name


def _mixed(classes: Mapping[str, list[Path]]) -> tuple[list[Path], np.ndarray]:
    """The files, shuffled in an order that depends only on their names, and their labels."""
    files = [file for pictures in classes.values() for file in pictures]
    labels = np.repeat(np.arange(len(classes)), [len(pictures) for pictures in classes.values()]).astype(np.int64)
    order = np.random.default_rng(0).permutation(len(files))
    return [files[place] for place in order], labels[order]


def _in_threads(read: Callable[[int], str | None], count: int) -> list[str | None]:
    """Call `read` on 0 to `count` - 1. Pillow decodes without Python's lock, so threads pay off."""
    pool = ThreadPoolExecutor(THREADS)
    try:
        with open(os.dup(2), "w") as screen, silence():
            return list(tqdm(pool.map(read, range(count)), "pictures", count, file=screen, disable=None))
    finally:
        pool.shutdown(cancel_futures=True)  # stop reading when the user interrupts


def _counts_that_work(data: Data, listing: Listing) -> Data | None:
    """`data` with counts that use every image and give each split every class; None if there are none."""
    images, tested = len(listing.train_labels), len(listing.test_labels)
    for val_share, test_share in SHARES:
        test = tested or max(round(test_share * images), len(listing.classes), LEAST_TESTED)
        val = max(round(val_share * images), len(listing.classes))
        train = images - val - (0 if tested else test)
        if train < len(listing.classes) or test < LEAST_TESTED:
            continue
        counts = data.model_copy(update={"train": train, "val": val, "test": test})
        try:
            places(listing.train_labels, listing.test_labels, listing.classes, counts)
        except Refusal:
            continue
        return counts
    return None


def _command(data: Data, others: Mapping[str, int]) -> str:
    changes = {f"data.{key}": value for key, value in data if key != "seed"} | dict(others)
    return " ".join(["dvc exp run", *(f"-S {shlex.quote(f'{key}={_value(value)}')}" for key, value in changes.items())])


def _value(value: str | int) -> str:
    """Quote the value for the override grammar of `dvc exp run -S`, unless it is plain."""
    if re.fullmatch(r"[\w./-]+", str(value), re.ASCII):
        return str(value)
    return '"' + str(value).replace("\\", "\\\\").replace('"', r"\"") + '"'


def _inventory(path: str, listing: Listing) -> str:
    """What the folder holds, with its smallest class."""
    labels = np.concatenate([listing.train_labels, listing.test_labels])
    counts = np.bincount(labels)
    parts = f" ({len(listing.train_labels)} in train/, {len(listing.test_labels)} in test/)"
    return (
        f"{_shown(path)} has {len(labels)} pictures{parts if len(listing.test_labels) else ''} of {len(counts)} "
        f"classes, {counts.min()} of {_shown(listing.classes[counts.argmin()])}, the smallest"
    )


def _named(names: list[str]) -> str:
    return ", ".join(f"{_shown(name)}/" for name in names)


def _shown(name: str) -> str:
    return name if name.isprintable() else repr(name)


def _refusal(folder: Path, fault: str) -> Refusal:
    return Refusal(f"params.yaml: data.path: {_shown(str(folder))}: {fault}")
