"""CIFAR-10 and CIFAR-100, found locally or downloaded, and verified before unpickling."""

import os
import shutil
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, NamedTuple, cast

import numpy as np

from study.data.splits import FACTS, Facts, Raw
from study.pipeline.files import read_json
from study.pipeline.params import Refusal
from study.pipeline.torchvision_shim import torchvision
from study.sources.fetch import check_integrity, delivers, fetch

SIDE, TRAIN, TEST = 32, 50_000, 10_000  # pixels, images, images
QUICK = 8_000_000, 3  # bytes within seconds; at that rate the whole archive takes a minute


class Cifar(NamedTuple):
    """One of the two. NAME_DIR and NAME_URL, such as CIFAR10_DIR, are environment variables."""

    published: type[torchvision.datasets.CIFAR10]
    name: str
    facts: Facts

    def at_hand(self, root: Path) -> bool:
        """Whether it is already on this machine, or a host delivers it quickly."""
        raw = root / "data/raw" / FACTS
        return (
            bool(os.environ.get(self._variable("DIR")))
            or (self.cache(root) / self.published.filename).exists()
            or (raw.exists() and read_json(raw) == self.facts._asdict())
            or any(delivers(url, *QUICK) for url in self._addresses())
        )

    def load(self, root: Path) -> Raw:
        """Load from the folder NAME_DIR, else from the archive in the cache, which is downloaded if missing.

        Raises Refusal, with the alternatives, when the data cannot be found, downloaded or verified.
        """
        cache = self.cache(root)
        cache.mkdir(parents=True, exist_ok=True)
        if given := os.environ.get(self._variable("DIR")):
            folder = Path(given)
            if (folder / self.published.base_folder).is_dir():
                return self._batches(folder)
            archive = folder / self.published.filename
            self._require_whole(archive, self.published.tgz_md5)
        else:
            archive = cache / self.published.filename
            if not check_integrity(archive, self.published.tgz_md5):
                self._download(archive)
        with TemporaryDirectory(dir=cache) as unpacked:
            self._unpack(archive, Path(unpacked))
            return self._batches(Path(unpacked))

    def cache(self, root: Path) -> Path:
        """It holds the archive, or the start of an interrupted download."""
        return root / ".cache" / self.name

    def _files(self) -> list[tuple[str, str]]:
        """Every file of the published folder, with its md5."""
        meta = self.published.meta
        return [*self.published.train_list, *self.published.test_list, (meta["filename"], meta["md5"])]

    def _unpack(self, archive: Path, folder: Path) -> None:
        """Extract the batches and nothing else: names and links in an archive can point anywhere."""
        base = self.published.base_folder
        (folder / base).mkdir()
        wanted = {f"{base}/{name}": name for name, _ in self._files()}
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.isfile() and member.name in wanted:
                    target = folder / base / wanted[member.name]
                    with cast(IO[bytes], tar.extractfile(member)) as packed, target.open("wb") as file:
                        shutil.copyfileobj(packed, file)

    def _addresses(self) -> list[str]:
        return [self.published.url, *filter(None, os.environ.get(self._variable("URL"), "").split(","))]

    def _download(self, archive: Path) -> None:
        try:
            fetch(self._addresses(), archive, self.published.tgz_md5)
        except ConnectionError as fault:
            raise Refusal(f"{self.facts.title} cannot be downloaded ({fault}): {self._another_way()}") from None

    def _batches(self, folder: Path) -> Raw:
        """Load what is under `folder`. torchvision checks every md5 before unpickling; we also name the bad file."""
        for name, md5 in self._files():
            self._require_whole(folder / self.published.base_folder / name, md5)
        train, test = (_arrays(self.published(folder, train=train)) for train in (True, False))
        return Raw.without_val(train, test, self.facts)

    def _require_whole(self, path: Path, md5: str) -> None:
        if not path.exists():
            raise Refusal(f"{path} is missing: {self._another_way()}")
        if not check_integrity(path, md5):
            raise Refusal(
                f"{path} is damaged or cut short (its md5 is not {md5}): replace it, or {self._another_way()}"
            )

    def _variable(self, kind: str) -> str:
        return f"{self.name.upper()}_{kind}"

    def _another_way(self) -> str:
        return (
            f"set {self._variable('DIR')} to a folder that holds {self.published.base_folder}/ or "
            f"{self.published.filename}, or {self._variable('URL')} to a mirror of that archive, or take the embedded "
            "digits: -S data.dataset=digits -S mirror=false -S data.train=1000 -S data.val=437 -S data.test=360 "
            "-S corrupt_eval.images=360"
        )


def _arrays(half: torchvision.datasets.CIFAR10) -> tuple[np.ndarray, np.ndarray]:
    return np.ascontiguousarray(half.data), np.array(half.targets, np.int64)
