"""The table behind each diagram, one variant after the other."""

import pandas as pd

from study.evaluation.robustness import MEASURES, counted
from study.reporting.results import Results

MEAN = "mean"  # stands in the column `corruption`


def plot_tables(results: Results, classes: list[str]) -> dict[str, pd.DataFrame]:
    """The table behind each diagram, by the name of its file."""
    return {
        "reliability": results.reliability,
        "confusion": confusion_table(results.confusion, classes),
        "corruption": corruption_table(results.corruption),
        "learning_curves": learning_curves_table(results.curves),
    }


def confusion_table(predictions: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """Every cell of every variant's confusion matrix: its count, and its share of the actual class in [0, 1].

    predictions: variant, actual and predicted of each test image.
    """
    variants = predictions["variant"].unique()
    cells = pd.MultiIndex.from_product([variants, classes, classes], names=["variant", "actual", "predicted"])
    counts = predictions.groupby(cells.names).size().reindex(cells, fill_value=0)
    images = counts.groupby(["variant", "actual"], sort=False).transform("sum")
    return pd.DataFrame({"count": counts, "share": counts / images.clip(lower=1)}).reset_index()


def corruption_table(conditions: pd.DataFrame) -> pd.DataFrame:
    """Accuracy and ECE by severity for each corruption and for the mean, each starting from the clean images.

    conditions: as in study.evaluation.robustness, which says over what the mean is taken; the group of the mean is that
    of the conditions in it.
    """
    curves = []
    for _, rows in conditions.groupby("variant", sort=False):
        clean, corrupted = rows[rows["severity"] == 0], rows[rows["severity"] > 0]
        means = counted(rows).assign(corruption=MEAN)
        for name, curve in [(MEAN, means), *corrupted.groupby("corruption", sort=False)]:
            curves.append(pd.concat([clean, curve]).assign(corruption=name, group=curve["group"].iloc[0]))
    place = ["variant", "corruption", "group", "severity"]
    by_severity = pd.concat(curves).groupby(place, sort=False)
    table: pd.DataFrame = by_severity.agg({"images": "first"} | dict.fromkeys(MEASURES, "mean")).reset_index()
    return table


def learning_curves_table(curves: pd.DataFrame) -> pd.DataFrame:
    """The learning curves with `epoch` counted on from one phase to the next.

    curves: variant, phase, epoch within the phase, and what was measured.
    """
    return curves.assign(epoch=curves.groupby("variant").cumcount() + 1)
