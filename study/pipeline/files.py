"""What stages write: JSON, CSV tables, and folders that are either whole or not there."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import pandas as pd

TEXT = dict.fromkeys(("actual", "class", "predicted", "true"), str)  # the columns that hold class names
PART = ".part-"  # in the name of a folder that is being written; .dvcignore knows it
MARKER = ".written-by-whole_folder"


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder to write into. It replaces `folder` when the block ends, and is removed if it fails.

    The temporary folder lies beside `folder`, so that a rename is enough, and holds a MARKER. One that a killed process
    left is removed first, if it has the marker. A folder has one writer at a time.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{folder.name}{PART}"
    for left in folder.parent.iterdir():
        if left.name.startswith(prefix) and (left / MARKER).is_file():
            shutil.rmtree(left)
    with TemporaryDirectory(prefix=prefix, dir=folder.parent) as temporary:
        (Path(temporary) / MARKER).touch()
        part = Path(temporary) / folder.name
        part.mkdir()
        yield part
        if folder.exists():
            shutil.rmtree(folder)
        part.rename(folder)


def write_text(path: Path, text: str) -> None:
    """As UTF-8, with the same ends of lines on every system."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, content: Any) -> None:
    """Indented, so that `git diff` reads well."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def write_table(path: Path, table: pd.DataFrame) -> None:
    """As CSV with a header and without the index. A missing value is an empty cell; floats keep every digit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, lineterminator="\n")


def read_table(path: Path | IO[str]) -> pd.DataFrame:
    """What `write_table` wrote. Class names stay text, even those that look like numbers; an empty cell is missing."""
    return pd.read_csv(path, dtype=TEXT, keep_default_na=False, na_values=[""])
