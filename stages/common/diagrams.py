"""The table behind each diagram, from rows of text as the other stages wrote them, one variant after the other."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from stages.common.robustness import counted, means

Row = Mapping[str, str]

MEAN = "mean"  # stands in the column `corruption`


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
    """Accuracy and ECE by severity for each corruption and for the mean, each starting from the clean images.

    rows: as in stages.common.robustness, which says over what the mean is taken; the group of the mean is that of the
    conditions in it.
    """
    table = []
    for variant in _distinct(rows, "variant"):
        of_variant = [row for row in rows if row["variant"] == variant]
        clean = [row for row in of_variant if int(row["severity"]) == 0]
        curves = {MEAN: counted(of_variant)}
        for row in of_variant:
            if int(row["severity"]) > 0:
                curves.setdefault(row["corruption"], []).append(row)
        for corruption, curve in curves.items():
            for severity in sorted({int(row["severity"]) for row in clean + curve}):
                at = [row for row in clean + curve if int(row["severity"]) == severity]
                place = {"variant": variant, "corruption": corruption, "group": curve[0]["group"], "severity": severity}
                table.append({**place, "images": int(at[0]["images"]), **means(at)})
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
