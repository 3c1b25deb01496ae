"""Folders that are either whole or not there."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A temporary sibling to write into: it takes `folder`'s place when the block ends, and vanishes when it fails.

    What a killed process left of an earlier one goes first. A folder has one writer at a time.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f".{folder.name}-*"):
        shutil.rmtree(left)
    with TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
        part = Path(temporary) / folder.name
        part.mkdir()
        yield part
        if folder.exists():
            shutil.rmtree(folder)
        part.rename(folder)
