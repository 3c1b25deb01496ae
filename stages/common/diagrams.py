"""The table behind each diagram, from rows of text as the other stages wrote them, one variant after the other."""

from collections import Counter
from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any

Row = Mapping[str, str]

MEAN = "mean of all"  # stands in the column `corruption`
MEASURES = ("accuracy", "ece_before", "ece_after")


def confusion_table(rows: list[Row], classes: list[str]) -> list[dict[str, Any]]:
    """Every cell of every variant's confusion matrix: its count, and its share of the actual class in [0, 1].

    rows: variant, actual and predicted of each test image.
    """
    cells = Counter((row["variant"], row["actual"], row["predicted"]) for row in rows)
    images = Counter((row["variant"], row["actual"]) for row in rows)
    return [
        {
            "variant": variant,
            "actual": actual,
            "predicted": predicted,
            "count": cells[variant, actual, predicted],
            "share": cells[variant, actual, predicted] / (images[variant, actual] or 1),
        }
        for variant in _distinct(rows, "variant")
        for actual in classes
        for predicted in classes
    ]


def corruption_table(rows: list[Row]) -> list[dict[str, Any]]:
    """Accuracy and ECE by severity for each corruption and for the mean of all, each starting from the clean images.

    rows: variant, corruption, severity, images (how many) and MEASURES; those of severity 0 are the clean images.
    """
    table = []
    for variant in _distinct(rows, "variant"):
        clean = [row for row in rows if row["variant"] == variant and int(row["severity"]) == 0]
        corrupted = [row for row in rows if row["variant"] == variant and int(row["severity"]) > 0]
        curves = {MEAN: corrupted}
        for row in corrupted:
            curves.setdefault(row["corruption"], []).append(row)
        for corruption, curve in curves.items():
            for severity in sorted({int(row["severity"]) for row in clean + curve}):
                at = [row for row in clean + curve if int(row["severity"]) == severity]
                means = {measure: fmean(float(row[measure]) for row in at) for measure in MEASURES}
                table.append(
                    {
                        "variant": variant,
                        "corruption": corruption,
                        "severity": severity,
                        "images": int(at[0]["images"]),
                        **means,
                    }
                )
    return table


def learning_curves_table(rows: list[Row]) -> list[dict[str, Any]]:
    """The learning curves with `epoch` counted on from one phase to the next.

    rows: variant, phase, epoch within the phase, and what was measured.
    """
    return [
        {**row, "epoch": epoch}
        for variant in _distinct(rows, "variant")
        for epoch, row in enumerate((row for row in rows if row["variant"] == variant), start=1)
    ]


def _distinct(rows: Iterable[Row], column: str) -> list[str]:
    return list(dict.fromkeys(row[column] for row in rows))
