"""A CSV that has every measurement as soon as it is made: a stop loses nothing, and the next start carries on."""

import csv
from pathlib import Path
from typing import Any

from stages.common.params import Refusal


class Table:
    """The rows of a CSV, each a mapping of columns to text. A row is a measurement; some of its columns name it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rows: list[dict[str, str]] = []
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                self.rows = list(csv.DictReader(file))

    def has(self, **names: Any) -> bool:
        """Whether a measurement with these names is there."""
        return any(all(row.get(name) == str(value) for name, value in names.items()) for row in self.rows)

    def add(self, row: dict[str, Any]) -> None:
        """Append a measurement to the file, under a header where it is the first.

        Raises Refusal when the file has other columns, as one that an older version of the program wrote.
        """
        if self.rows and list(self.rows[0]) != list(row):
            raise Refusal(f"{self._path} has other columns than this program writes: remove it, or give --fresh")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, row.keys(), lineterminator="\n")
            if not self.rows:
                writer.writeheader()
            writer.writerow(row)
        self.rows.append({name: "" if value is None else str(value) for name, value in row.items()})
