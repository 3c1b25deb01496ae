"""What corruption costs each variant, in accuracy and in calibration, from the whole table of conditions.

A condition is a corruption at a severity; a row has variant, corruption, group, severity, images, accuracy, ece_before,
ece_after, ece_null_mean and ece_null_upper (what a perfectly calibrated model with the scaled probabilities shows, on
average and at most in all but a few draws), as text or numbers. Severity 0 is the clean images, once per variant.
"""

from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any

import numpy as np

Row = Mapping[str, Any]

MEASURES = ("accuracy", "ece_before", "ece_after", "ece_null_mean", "ece_null_upper")


def counted(rows: Iterable[Row]) -> list[Row]:
    """The conditions that every mean is taken over: those of the benchmark's corruptions, whatever else was measured.

    All corruptions count where none is the benchmark's. The clean images never do.
    """
    corrupted = [row for row in rows if int(row["severity"]) > 0]
    return [row for row in corrupted if row["group"] == "benchmark"] or corrupted


def share_right(rows: list[Row], correct: np.ndarray) -> np.ndarray:
    """Of each image the share of the conditions that count in which it is classified right: (N,), in [0, 1].

    rows: of one variant; correct: bool (rows, N). The mean over the images is the mean accuracy over the conditions.
    """
    counting = counted(rows)
    return correct[[row in counting for row in rows]].mean(axis=0)


def robustness(rows: list[Row]) -> dict[str, dict[str, Any]]:
    """Per variant: how it fares on the clean images, under corruption on average, and by severity and corruption.

    `conditions` is how many count. Of those, `most_accurate` is the number in which no other variant is more accurate,
    `scaling_helps` that in which the temperature lowers the ECE, and `within_null` that in which the ECE after scaling
    is one that chance alone may give. `retained` is the corrupted accuracy as a share of the clean one.
    """
    best: dict[tuple[str, str], float] = {}
    for row in rows:
        key = (row["corruption"], str(row["severity"]))
        best[key] = max(best.get(key, 0.0), float(row["accuracy"]))
    return {
        variant: _of_variant([row for row in rows if row["variant"] == variant], best)
        for variant in dict.fromkeys(row["variant"] for row in rows)
    }


def _of_variant(rows: list[Row], best: Mapping[tuple[str, str], float]) -> dict[str, Any]:
    clean = next(row for row in rows if int(row["severity"]) == 0)
    conditions = counted(rows)
    corrupted = means(conditions)
    by_severity = {str(severity): means(at) for severity, at in _grouped([clean, *conditions], "severity").items()}
    by_corruption = _grouped([row for row in rows if int(row["severity"]) > 0], "corruption")
    return {
        "images": int(clean["images"]),
        "conditions": len(conditions),
        "clean": means([clean]),
        "corrupted": corrupted,
        "retained": corrupted["accuracy"] / float(clean["accuracy"]),
        "most_accurate": sum(
            float(row["accuracy"]) == best[row["corruption"], str(row["severity"])] for row in conditions
        ),
        "scaling_helps": sum(float(row["ece_after"]) < float(row["ece_before"]) for row in conditions),
        "within_null": sum(float(row["ece_after"]) <= float(row["ece_null_upper"]) for row in conditions),
        "by_severity": by_severity,
        "by_corruption": {name: {"group": at[0]["group"], **means(at)} for name, at in by_corruption.items()},
    }


def means(rows: list[Row]) -> dict[str, float]:
    """The mean of each of MEASURES."""
    return {measure: fmean(float(row[measure]) for row in rows) for measure in MEASURES}


def _grouped(rows: list[Row], column: str) -> dict[Any, list[Row]]:
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[column], []).append(row)
    return groups
