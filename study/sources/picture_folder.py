"""A folder of the user's own pictures: listed without decoding any, then read as squares.

    DIR/<class>/...                                                        all splits are drawn from all pictures
    DIR/train/<class>/..., DIR/test/<class>/...                            val is drawn from train/
    DIR/train/<class>/..., DIR/val/<class>/...                             val/ is the test set
    DIR/train/<class>/..., DIR/val/<class>/..., DIR/test/<class>/...

The folders of the splits go by their usual names, in any case: Training, test_set, valid, seg_train. A picture belongs
to the class whose folder holds it, at any depth. Hidden entries, files without a picture's suffix and copies are left
out.
"""

import hashlib
import os
import re
import shlex
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar, cast, get_args

import numpy as np
from tqdm import tqdm

from study.data.splits import Facts, Raw
from study.pipeline.params import Refusal
from study.sources.image_files import (
    FORMATS,
    SUFFIXES,
    InputError,
    decode,
    hidden,
    of_one_colour,
    read_bytes,
    reason,
    silence,
)
from study.sources.stratified_draw import Data, Drawn, places

S = TypeVar("S")
T = TypeVar("T")

MOST_CLASSES = 256  # report.html stores a label in one byte
NAMED = 3  # pictures, or groups of them, named in a message
THREADS = min(os.cpu_count() or 1, 4)  # each may hold a picture of hundreds of megabytes
LEAST_TESTED = 10  # images: the minimum of corrupt_eval, adversarial and gradcam
# Shares of val (of the images in train/, where there is a test/) and of test, the usual ones first.
SHARES = ((0.1, 0.2), (0.15, 0.2), (0.2, 0.2), (0.25, 0.25), (0.3, 0.3), (1 / 3, 1 / 3), (0.4, 0.2), (0.5, 0.2))
SPLIT_FOLDER = re.compile(
    r"(?:seg[ _-]?)?"
    r"(?:(?P<train>train(?:ing)?)|(?P<val>val(?:id(?:ation)?)?|eval(?:uation)?|dev)|(?P<test>test(?:ing)?))"
    r"(?:[ _-]?(?:set|data|images|pictures))?"
)


class Listing(NamedTuple):
    """Files and their labels, int64 (N,), in shuffled order. Splits without files are drawn from the train files.

    notes: what was left out and which folder is the test set, a line each.
    """

    classes: list[str]
    train_files: list[Path]
    train_labels: np.ndarray
    val_files: list[Path]
    val_labels: np.ndarray
    test_files: list[Path]
    test_labels: np.ndarray
    notes: list[str]


class Picture(NamedTuple):
    split: Drawn
    label: int
    file: Path


def list_pictures(folder: Path) -> Listing:
    """List the pictures of each class, and compare files of one size by a hash: a picture counts once.

    One that is in two classes is left out. Raises Refusal, one line, when the folders do not match the layouts above,
    DVC cannot track them, or two splits share pictures.
    """
    if not folder.is_dir():
        raise _refusal(folder, "there is no such folder (a path that starts with ~ is not expanded)")
    names = _split_folders(folder)
    files = {split: _classes(folder / name) for split, name in names.items()}
    classes = _common_classes(folder, names, files)
    found = [
        Picture(split, label, file)
        for split, by_class in files.items()
        for label, name in enumerate(classes)
        for file in by_class[name]
        if _is_picture(file)
    ]
    pictures, notes = _without_copies(folder, found)
    for split, name in names.items():
        counts = np.bincount([picture.label for picture in pictures if picture.split == split], minlength=len(classes))
        if not counts.all():
            odd = _shown(classes[counts.argmin()])
            raise _refusal(folder / name, f"every picture of class {odd} is in another class too: keep it in one")
    notes += _left_out(folder, names, files)
    if _split(names.get("test", "")) == "val":
        notes.append(f"{_named([names['test']])} is the test set, as there is no test/")
    return Listing(classes, *_mixed(pictures, "train"), *_mixed(pictures, "val"), *_mixed(pictures, "test"), notes)


def read_pictures(listing: Listing, side: int, title: str) -> Raw:
    """Read every picture as inference does, as squares of `side` pixels. Raises Refusal as `read_images` does."""
    images = read_images([*listing.train_files, *listing.val_files, *listing.test_files], side)
    trained = len(listing.train_files)
    train, val, test = np.split(images, [trained, trained + len(listing.val_files)])
    labels = listing.train_labels, listing.val_labels, listing.test_labels
    return Raw(train, labels[0], val, labels[1], test, labels[2], Facts(title, listing.classes, mirrors=True))


def read_images(files: Sequence[Path], side: int) -> np.ndarray:
    """The pictures as uint8 (N, side, side, 3). Raises Refusal, one line that names the first unreadable ones."""
    images = np.empty((len(files), side, side, 3), np.uint8)

    def read(place: int) -> str | None:
        try:
            with open(files[place], "rb") as file:
                images[place] = decode(read_bytes(file), (side, side))
        except (InputError, OSError) as fault:
            return f"{_shown(str(files[place]))} ({reason(fault)})"
        return None

    faults = [fault for fault in _in_threads(read, range(len(files)), "pictures") if fault]
    if faults:
        raise Refusal(
            f"{len(faults)} of {len(files)} pictures cannot be read: {_first(faults)}; repair them, or remove them "
            "from the folder"
        )
    return images


def remarks(listing: Listing, raw: Raw) -> list[str]:
    """What may be wrong with the pictures that were read, a line each.

    Those that are the same square though their files differ, and those of one colour among the ones to train on.
    """
    lines = []
    files = [*listing.train_files, *listing.val_files, *listing.test_files]
    folder = os.path.commonpath(files)
    files = [file.relative_to(folder) for file in files]
    images = [image for part in (raw.train_images, raw.val_images, raw.test_images) for image in part]
    pixels = (hashlib.sha256(image).digest() for image in images)
    equal = sorted(map(sorted, _groups(zip(pixels, files, strict=True))))
    if equal:
        lines.append(
            f"{_counted(sum(map(len, equal)), 'picture')} look like another at {raw.train_images.shape[1]} pixels a "
            f"side, though the files differ: {_first([_together(group) for group in equal])}"
        )
    flat = sorted(file for file, image in zip(files, raw.train_images, strict=False) if of_one_colour(image))
    if flat:
        lines.append(
            f"of one colour, with nothing to see: {_counted(len(flat), 'picture')} to train on: {_first(flat)}"
        )
    return lines


def require_enough(data: Data, listing: Listing, wanted: Mapping[str, int]) -> None:
    """Check the split against the folder before any picture is decoded.

    wanted: the test images that other parameters ask for, by key, such as corrupt_eval.images. Raises Refusal with a
    command that works, when the split does not fit.
    """
    fault: str | None
    counts: Data | None
    try:
        places(*_labels(listing), listing.classes, data)
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


def _split(name: str) -> Drawn | None:
    """The split that a folder's name stands for."""
    match = SPLIT_FOLDER.fullmatch(name.casefold())
    return cast(Drawn, match.lastgroup) if match else None


def _split_folders(folder: Path) -> dict[Drawn, str]:
    """The name of each split's folder; "" is `folder` itself, where its folders are classes."""
    names = _folders(folder)
    by_split = defaultdict(list)
    for name in names:
        by_split[_split(name)].append(name)
    extra = by_split.pop(None, [])
    held_out = "train" in by_split and len(by_split) > 1
    if not names or (extra and not held_out):
        return {"train": ""}
    if not held_out:
        raise _refusal(folder, f"it has {_named(names)}: give it train/ and test/, or only a folder per class")
    for split, alike in by_split.items():
        if len(alike) > 1:
            raise _refusal(folder, f"it has {_named(alike)}, each of them {split}/ by its name: keep one")
    splits: dict[Drawn, str] = {split: by_split[split][0] for split in get_args(Drawn) if split in by_split}
    if extra:
        raise _refusal(
            folder, f"beside {_named([*splits.values()])} it has {_named(extra)}: move its classes into "
            f"{_shown(splits['train'])}/, or move the folder away"
        )  # fmt: skip
    if "test" not in splits:
        splits["test"] = splits.pop("val")
    return splits


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """What is in the folder and not hidden. Raises Refusal, naming what DVC cannot track as part of data.path.

    DVC follows links to files and no links to folders. It fails on broken links and on names that are not UTF-8, and
    waits for ever on a pipe.
    """
    with os.scandir(folder) as opened:
        entries = [entry for entry in opened if not hidden(entry.name)]
    for entry in entries:
        path = folder / entry.name
        if entry.is_symlink() and entry.is_dir():
            raise _refusal(path, "it is a link to a folder, and DVC does not track those: put the folder in its place")
        if not entry.is_dir() and not entry.is_file():
            fault = "it is a broken link" if entry.is_symlink() else "it is neither a file nor a folder"
            raise _refusal(path, f"{fault}, and DVC cannot track it: remove it")
        try:
            entry.name.encode()
        except UnicodeEncodeError:
            raise _refusal(path, "its name is not UTF-8, and DVC cannot track it: rename it") from None
        yield entry


def _folders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in _entries(folder) if entry.is_dir())


def _loose_pictures(folder: Path) -> list[str]:
    return sorted(entry.name for entry in _entries(folder) if entry.is_file() and _is_picture(Path(entry.name)))


def _files(folder: Path) -> Iterator[Path]:
    """The files at any depth."""
    for entry in _entries(folder):
        if entry.is_dir():
            yield from _files(folder / entry.name)
        else:
            yield folder / entry.name


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES


def _classes(folder: Path) -> dict[str, list[Path]]:
    """The files of each class, sorted by class name."""
    classes = {name: sorted(_files(folder / name), key=os.fsencode) for name in _folders(folder)}
    if not classes:
        raise _refusal(folder, "it has no folders: put each class's pictures in a folder named after the class")
    if len(classes) == 1:
        raise _refusal(folder, f"it has a folder for only one class, {_shown(*classes)}: at least two are needed")
    if len(classes) > MOST_CLASSES:
        raise _refusal(folder, f"it has {len(classes)} classes: at most {MOST_CLASSES} are allowed")
    layouts: dict[frozenset[str], str] = {}
    for name, files in classes.items():
        if not name.isprintable():
            raise _refusal(folder, f"the folder {name!r} cannot name a class: rename it, in printable UTF-8")
        pictures = [file for file in files if _is_picture(file)]
        if not pictures:
            kinds = ", ".join(FORMATS)
            raise _refusal(
                folder, f"the folder of class {_shown(name)} has no pictures ({kinds}): add some, or move it"
            )
        inner = frozenset(file.relative_to(folder / name).parts[0] for file in pictures)
        if len(inner) > 1 and not any((folder / name / part).is_file() for part in inner):
            if inner in layouts:
                raise _refusal(
                    folder, f"{_named([layouts[inner], name])} hold the same folders and no pictures beside them "
                    f"({_first([f'{part}/' for part in sorted(inner)])}): call splits train/ and test/, and move the "
                    "pictures of classes up"
                )  # fmt: skip
            layouts[inner] = name
    return classes


def _common_classes(
    folder: Path, names: Mapping[Drawn, str], files: Mapping[Drawn, Mapping[str, list[Path]]]
) -> list[str]:
    """The classes of every split. Raises Refusal where two can be taken for one, or a split lacks one."""
    by_look: dict[str, str] = {}
    for name in sorted(set().union(*files.values())):
        other = by_look.setdefault(unicodedata.normalize("NFC", name.strip()).casefold(), name)
        if other != name:
            raise _refusal(
                folder, f"the classes {other!a} and {name!a} differ only in case, in spaces around them or "
                "in how accents are stored: merge or rename them"
            )  # fmt: skip
    train = files["train"]
    for split in files:
        if odd := sorted(train.keys() ^ files[split].keys()):
            here, there = (names["train"], names[split]) if odd[0] in train else (names[split], names["train"])
            raise _refusal(
                folder, f"class {_shown(odd[0])} is in {_named([here])} and not in {_named([there])}: both need every "
                "class"
            )  # fmt: skip
    return list(train)


def _left_out(folder: Path, names: Mapping[Drawn, str], files: Mapping[Drawn, Mapping[str, list[Path]]]) -> list[str]:
    """A line that counts the files that are no pictures by their suffix, and one for pictures of no class."""
    notes = []
    others = Counter(
        file.suffix.lower() or "without a suffix"
        for by_class in files.values()
        for inside in by_class.values()
        for file in inside
        if not _is_picture(file)
    )
    if others:
        kinds = ", ".join(f"{count} {_shown(suffix)}" for suffix, count in others.most_common())
        notes.append(f"left out {_counted(others.total(), 'file')} without a picture's suffix: {kinds}")
    loose = [
        Path(name, file) for name in ["", *filter(None, names.values())] for file in _loose_pictures(folder / name)
    ]
    if loose:
        notes.append(f"left out {_counted(len(loose), 'picture')} in no class's folder: {_first(loose)}")
    return notes


def _without_copies(folder: Path, pictures: list[Picture]) -> tuple[list[Picture], list[str]]:
    """The pictures that count, each once, a line on those in two classes and one on further copies.

    Raises Refusal, naming the first, when two splits share pictures.
    """
    shared, torn, copies = [], [], []
    dropped: set[Picture] = set()
    for group in sorted(_equal_files(pictures), key=lambda group: group[0].file):
        files = [picture.file.relative_to(folder) for picture in group]
        if len({picture.split for picture in group}) > 1:
            shared.append(files)
        elif len({picture.label for picture in group}) > 1:
            torn.append(files)
            dropped.update(group)
        else:
            copies += files[1:]
            dropped.update(group[1:])
    if shared:
        raise _refusal(
            folder, f"{_counted(len(shared), 'picture')} in more than one split: "
            f"{_first([_together(files) for files in shared])}: keep each in one"
        )  # fmt: skip
    notes = []
    if torn:
        notes.append(
            f"left out {_counted(sum(map(len, torn)), 'file')} of {_counted(len(torn), 'picture')} in more than one "
            f"class: {_first([_together(files) for files in torn])}"
        )
    if copies:
        notes.append(f"left out {_counted(len(copies), 'copy', 'copies')} of other pictures: {_first(copies)}")
    return [picture for picture in pictures if picture not in dropped], notes


def _equal_files(pictures: Iterable[Picture]) -> list[list[Picture]]:
    """Groups of pictures whose files are the same bytes. Empty and unreadable files are left to `read_images`."""
    same_size = _groups((os.stat(picture.file).st_size, picture) for picture in pictures)
    candidates = [picture for group in same_size if os.stat(group[0].file).st_size for picture in group]

    def digest(picture: Picture) -> Hashable:
        try:
            with open(picture.file, "rb") as file:
                return hashlib.file_digest(file, "sha256").digest()
        except OSError:
            return picture.file

    return _groups(zip(_in_threads(digest, candidates, "files compared"), candidates, strict=True))


def _groups(pairs: Iterable[tuple[Hashable, T]]) -> list[list[T]]:
    """The values of each key that has more than one, in order."""
    by_key = defaultdict(list)
    for key, value in pairs:
        by_key[key].append(value)
    return [values for values in by_key.values() if len(values) > 1]


def _mixed(pictures: list[Picture], split: Drawn) -> tuple[list[Path], np.ndarray]:
    """The split's files, shuffled in an order that depends only on their names, and their labels."""
    own = [picture for picture in pictures if picture.split == split]
    order = np.random.default_rng(0).permutation(len(own))
    return [own[place].file for place in order], np.array([own[place].label for place in order], np.int64)


def _in_threads(call: Callable[[S], T], items: Sequence[S], name: str) -> list[T]:
    """Call `call` on each item. Pillow and hashlib work without Python's lock, so threads pay off."""
    pool = ThreadPoolExecutor(THREADS)
    try:
        with open(os.dup(2), "w") as screen, silence():
            return list(tqdm(pool.map(call, items), name, len(items), file=screen, disable=None if items else True))
    finally:
        pool.shutdown(cancel_futures=True)  # stop reading when the user interrupts


def _counts_that_work(data: Data, listing: Listing) -> Data | None:
    """`data` with counts that use every image and give each split every class; None if there are none."""
    images, validated, tested = map(len, _labels(listing))
    for val_share, test_share in SHARES:
        test = tested or max(round(test_share * images), len(listing.classes), LEAST_TESTED)
        val = validated or max(round(val_share * images), len(listing.classes))
        train = images - (0 if validated else val) - (0 if tested else test)
        if train < len(listing.classes) or test < LEAST_TESTED:
            continue
        counts = data.model_copy(update={"train": train, "val": val, "test": test})
        try:
            places(*_labels(listing), listing.classes, counts)
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
    """What the folder holds, with its smallest class and what was left out."""
    labels = _labels(listing)
    counts = np.bincount(np.concatenate(labels))
    uses = zip(("train", "validate", "test"), labels, strict=True)
    parts = ", ".join(f"{len(own)} to {use} on" for use, own in uses if len(own))
    notes = f" ({'; '.join(listing.notes)})" if listing.notes else ""
    return (
        f"{_shown(path)} has {counts.sum()} pictures{f' ({parts})' if ',' in parts else ''} of {len(counts)} "
        f"classes, {counts.min()} of {_shown(listing.classes[counts.argmin()])}, the smallest{notes}"
    )


def _labels(listing: Listing) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return listing.train_labels, listing.val_labels, listing.test_labels


def _named(names: list[str]) -> str:
    return ", ".join(f"{_shown(name)}/" for name in names)


def _first(items: Sequence[Path | str], between: str = ", ") -> str:
    more = f" and {len(items) - NAMED} more" if len(items) > NAMED else ""
    return between.join(_shown(str(item)) for item in items[:NAMED]) + more


def _together(files: Sequence[Path]) -> str:
    return _first(files, " = ")


def _counted(count: int, one: str, more: str = "") -> str:
    return f"{count} {one if count == 1 else more or f'{one}s'}"


def _shown(name: str) -> str:
    return name if name.isprintable() else repr(name)


def _refusal(folder: Path, fault: str) -> Refusal:
    return Refusal(f"params.yaml: data.path: {_shown(str(folder))}: {fault}")
