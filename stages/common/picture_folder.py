"""One's own pictures: listed by their folders' names without opening any, and read as squares.

    DIR/<class>/...               the test split is drawn from all
    DIR/train/<class>/..., DIR/test/<class>/...

A picture belongs to the class in whose folder it lies, however deep below. What has no picture's suffix and what is
hidden (its name starts with a dot) is passed over.
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

from stages.common.datasets import Data, Raw
from stages.common.image_files import FORMATS, SUFFIXES, InputError, decode, read_bytes, reason, silence
from stages.common.params import Refusal
from stages.common.splits import places

MOST_CLASSES = 256  # what the page to explore holds, a byte for a label
NAMED = 3  # faulty pictures in a message
THREADS = min(os.cpu_count() or 1, 4)  # each may hold a picture of hundreds of megabytes
LEAST_TESTED = 10  # images that corrupt_eval, adversarial and gradcam each ask for at least
# Of the images: val's share (of those to train on, where test/ is there) and test's, the usual ones first.
SHARES = ((0.1, 0.2), (0.15, 0.2), (0.2, 0.2), (0.25, 0.25), (0.3, 0.3), (1 / 3, 1 / 3), (0.4, 0.2), (0.5, 0.2))
NOT_CLASSES = {"train", "test", "val", "valid", "validation"}


class Listing(NamedTuple):
    """Files and their labels, int64 (N,), with the classes mixed. No test files: the test split is drawn from all."""

    classes: list[str]
    train_files: list[Path]
    train_labels: np.ndarray
    test_files: list[Path]
    test_labels: np.ndarray


def list_pictures(folder: Path) -> Listing:
    """Raises Refusal, one line, when the folders are not as above."""
    if not folder.is_dir():
        raise _refusal(folder, "there is no such folder (a path that starts with ~ is not expanded)")
    names = _folders(folder)
    if {"train", "test"} <= set(names):
        if extra := sorted(set(names) - {"train", "test"}):
            raise _refusal(
                folder, f"beside train/ and test/ it has {_named(extra)}: move the classes in there to train/ (val is "
                "drawn from train/), or the folder elsewhere"
            )  # fmt: skip
        train, test = _classes(folder / "train"), _classes(folder / "test")
        if train.keys() != test.keys():
            odd = sorted(train.keys() ^ test.keys())
            where = "train/ and not in test/" if odd[0] in train else "test/ and not in train/"
            raise _refusal(folder, f"class {_shown(odd[0])} is in {where}: both need each class")
    elif set(names) <= NOT_CLASSES and names:
        raise _refusal(folder, f"it has {_named(names)}: give it train/ and test/, or a folder for each class alone")
    else:
        train, test = _classes(folder), {}
    train_files, train_labels = _mixed(train)
    test_files, test_labels = _mixed(test)
    return Listing(list(train), train_files, train_labels, test_files, test_labels)


def read_pictures(listing: Listing, side: int) -> Raw:
    """Every picture as inference sees it, at `side` pixels a side.

    Raises Refusal, one line that names the first of those that cannot be read.
    """
    files = [*listing.train_files, *listing.test_files]
    images = np.empty((len(files), side, side, 3), np.uint8)

    def read(place: int) -> str | None:
        try:
            with open(files[place], "rb") as file:
                images[place] = decode(read_bytes(file), (side, side))
        except (InputError, OSError) as fault:
            return f"{_shown(str(files[place]))} ({reason(fault)})"

    faults = [fault for fault in _in_threads(read, len(files)) if fault]
    if faults:
        more = f" and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        raise Refusal(
            f"{len(faults)} of {len(files)} pictures cannot be read: {', '.join(faults[:NAMED])}{more}; mend them, or "
            "take them out of the folder"
        )
    trained = len(listing.train_files)
    return Raw(images[:trained], listing.train_labels, images[trained:], listing.test_labels, listing.classes)


def require_enough(data: Data, listing: Listing, wanted: Mapping[str, int]) -> None:
    """Refuse, before a picture is opened, what the folder cannot give, with a command that it can.

    wanted: test images that other parameters ask for, by their keys, corrupt_eval.images, say.
    """
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
        way_out = "add pictures, so that each class has one in each split, and test has at least 10"
    if fault:
        raise Refusal(f"{fault}; {_inventory(data.path, listing)}; {way_out}")


def _folders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def _classes(folder: Path) -> dict[str, list[Path]]:
    """The pictures of each class by its name, in the order of the names."""
    classes = {name: sorted(_pictures(folder / name), key=os.fsencode) for name in _folders(folder)}
    if not classes:
        raise _refusal(folder, "it has no folders: put each class's pictures in a folder named after the class")
    if len(classes) == 1:
        raise _refusal(folder, f"it has a folder for one class alone, {_shown(*classes)}: two are the least")
    if len(classes) > MOST_CLASSES:
        raise _refusal(folder, f"it has {len(classes)} classes: {MOST_CLASSES} are the most")
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
    """Of this folder and those below. A broken link counts, so that reading it tells; links to folders do not."""
    for entry in os.scandir(folder):
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _pictures(folder / entry.name)
        elif Path(entry.name).suffix.lower() in SUFFIXES and (entry.is_file() or entry.is_symlink()):
            yield folder / entry.name


def _mixed(classes: Mapping[str, list[Path]]) -> tuple[list[Path], np.ndarray]:
    """The files in an order that depends on nothing but their names, and their labels."""
    files = [file for pictures in classes.values() for file in pictures]
    labels = np.repeat(np.arange(len(classes)), [len(pictures) for pictures in classes.values()]).astype(np.int64)
    order = np.random.default_rng(0).permutation(len(files))
    return [files[place] for place in order], labels[order]


def _in_threads(read: Callable[[int], str | None], count: int) -> list[str | None]:
    """`read` of 0 to `count` - 1, in that order. Pillow decodes without Python's lock, so that threads pay."""
    pool = ThreadPoolExecutor(THREADS)
    try:
        with open(os.dup(2), "w") as screen, silence():
            return list(tqdm(pool.map(read, range(count)), "pictures", count, file=screen, disable=None))
    finally:
        pool.shutdown(cancel_futures=True)  # when the user ends it, do not read on


def _counts_that_work(data: Data, listing: Listing) -> Data | None:
    """`data` with train, val and test so that every image is used and every split has each class; None if none do."""
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
    """As the override grammar of `dvc exp run -S` takes it: in quotes unless it is plain."""
    if re.fullmatch(r"[\w./-]+", str(value), re.ASCII):
        return str(value)
    return '"' + str(value).replace("\\", "\\\\").replace('"', r"\"") + '"'


def _inventory(path: str, listing: Listing) -> str:
    """What the folder has, its smallest class named."""
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
