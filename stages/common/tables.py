"""Tables as CSV."""

import csv
from pathlib import Path


def write_table(path: Path, rows: list[dict]) -> None:
    """One line per row under a header of the first row's keys; None is an empty cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
