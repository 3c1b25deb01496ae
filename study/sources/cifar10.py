"""CIFAR-10, found locally or downloaded, and verified before unpickling."""

import json
import os
import shutil
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, cast

import numpy as np

from study.data.splits import Raw
from study.pipeline.params import Refusal
from study.pipeline.torchvision_shim import torchvision
from study.sources.fetch import check_integrity, delivers, fetch

CIFAR10 = torchvision.datasets.CIFAR10
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
CACHE = Path(".cache/cifar10")  # holds the archive, or the start of an interrupted download
QUICK = 8_000_000, 3  # bytes within seconds; at that rate the whole archive takes a minute
ANOTHER_WAY = (
    "set CIFAR10_DIR to a folder that holds cifar-10-batches-py/ or cifar-10-python.tar.gz, or CIFAR10_URL to a mirror "
    "of that archive, or take the embedded digits: "
    "-S data.dataset=digits -S mirror=false -S data.train=1000 -S data.val=437 -S data.test=360 "
    "-S corrupt_eval.images=360"
)


def at_hand(root: Path) -> bool:
    """Whether CIFAR-10 is already on this machine, or a host delivers it quickly."""
    classes = root / "data/raw/classes.json"
    return (
        bool(os.environ.get("CIFAR10_DIR"))
        or (root / CACHE / CIFAR10.filename).exists()
        or (classes.exists() and json.loads(classes.read_text()) == CLASSES)
        or any(delivers(url, *QUICK) for url in _addresses())
    )


def load(root: Path) -> Raw:
    """Load from the folder CIFAR10_DIR, else from the archive in CACHE, which is downloaded if missing.

    Raises Refusal, with the alternatives, when the data cannot be found, downloaded or verified.
    """
    cache = root / CACHE
    cache.mkdir(parents=True, exist_ok=True)
    if given := os.environ.get("CIFAR10_DIR"):
        folder = Path(given)
        if (folder / CIFAR10.base_folder).is_dir():
            return _batches(folder)
        archive = folder / CIFAR10.filename
        _require_whole(archive, CIFAR10.tgz_md5)
    else:
        archive = cache / CIFAR10.filename
        if not check_integrity(archive, CIFAR10.tgz_md5):
            _download(archive)
    with TemporaryDirectory(dir=cache) as unpacked:
        _unpack(archive, Path(unpacked))
        return _batches(Path(unpacked))


def _files() -> list[tuple[str, str]]:
    """Every file of the published folder, with its md5."""
    return [*CIFAR10.train_list, *CIFAR10.test_list, (CIFAR10.meta["filename"], CIFAR10.meta["md5"])]


def _unpack(archive: Path, folder: Path) -> None:
    """Extract the batches and nothing else: names and links in an archive can point anywhere."""
    (folder / CIFAR10.base_folder).mkdir()
    wanted = {f"{CIFAR10.base_folder}/{name}": name for name, _ in _files()}
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile() and member.name in wanted:
                target = folder / CIFAR10.base_folder / wanted[member.name]
                with cast(IO[bytes], tar.extractfile(member)) as packed, target.open("wb") as file:
                    shutil.copyfileobj(packed, file)


def _addresses() -> list[str]:
    return [CIFAR10.url, *filter(None, os.environ.get("CIFAR10_URL", "").split(","))]


def _download(archive: Path) -> None:
    try:
        fetch(_addresses(), archive, CIFAR10.tgz_md5)
    except ConnectionError as fault:
        raise Refusal(f"CIFAR-10 cannot be downloaded ({fault}): {ANOTHER_WAY}") from None


def _batches(folder: Path) -> Raw:
    """Load the batches under `folder`. torchvision checks every md5 before unpickling; we also name the bad file."""
    for name, md5 in _files():
        _require_whole(folder / CIFAR10.base_folder / name, md5)
    train, test = CIFAR10(folder, train=True), CIFAR10(folder, train=False)
    return Raw.without_val(_arrays(train), _arrays(test), train.classes)


def _arrays(half: torchvision.datasets.CIFAR10) -> tuple[np.ndarray, np.ndarray]:
    return np.ascontiguousarray(half.data), np.array(half.targets, np.int64)


def _require_whole(path: Path, md5: str) -> None:
    if not path.exists():
        raise Refusal(f"{path} is missing: {ANOTHER_WAY}")
    if not check_integrity(path, md5):
        raise Refusal(f"{path} is damaged or cut short (its md5 is not {md5}): replace it, or {ANOTHER_WAY}")
