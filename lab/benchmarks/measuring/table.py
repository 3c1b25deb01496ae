"""A CSV that has every measurement as soon as it is made: a stop loses nothing, and the next start carries on."""

from pathlib import Path
from typing import Any

import pandas as pd

from study.pipeline.files import read_table
from study.pipeline.params import Refusal


class Table:
    """The rows of a CSV. A row is a measurement; some of its columns name it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rows = read_table(path) if path.exists() else pd.DataFrame()

    def has(self, **names: Any) -> bool:
        """Whether a measurement with these names is there."""
        return bool(self._named(names).any())

    def remove(self, **names: Any) -> None:
        """Remove the measurements with these names from the file."""
        self.rows = self.rows[~self._named(names)]
        if len(self.rows):
            self.rows.to_csv(self._path, index=False, lineterminator="\n")
        else:
            self._path.unlink(missing_ok=True)

    def add(self, row: dict[str, Any]) -> None:
        """Append a measurement to the file, under a header if it is the first.

        Raises Refusal when the file has other columns, as one that an older version of the program wrote.
        """
        if len(self.rows) and list(self.rows.columns) != list(row):
            raise Refusal(f"{self._path} has other columns than this program writes: remove it")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        first = not len(self.rows)
        pd.DataFrame([row]).to_csv(self._path, mode="a", header=first, index=False, lineterminator="\n")
        self.rows = read_table(self._path)

    def _named(self, names: dict[str, Any]) -> pd.Series:
        """Of each row, whether it has these names."""
        if not names.keys() <= set(self.rows.columns):
            return pd.Series(False, index=self.rows.index)
        return (self.rows[list(names)] == pd.Series(names)).all(axis=1)
