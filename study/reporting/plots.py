"""What plots/report holds: the table behind each diagram, one variant after the other, and every picture."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from study.evaluation.robustness import MEASURES, counted
from study.label_errors.figure import label_errors_figure
from study.reporting.figures import (
    by_corruption_figure,
    corruption_figure,
    corruption_map_figure,
    reliability_figure,
)
from study.reporting.page_data import Study
from study.reporting.results import Results
from study.reporting.shift_figures import adaptation_figure, interpolation_figure
from study.reporting.uncertainty_figures import conformal_figure, ood_figure

MEAN = "mean"  # stands in the column `corruption`


def plot_tables(results: Results, classes: list[str]) -> dict[str, pd.DataFrame]:
    """The table behind each diagram, by the name of its file."""
    return {
        "reliability": results.reliability,
        "confusion": confusion_table(results.confusion, classes),
        "corruption": corruption_table(results.corruption),
        "learning_curves": learning_curves_table(results.curves),
    }


def draw_figures(study: Study, published: Mapping[str, Mapping[str, Any]]) -> dict[str, Figure]:
    """Every picture, by the name of its file; of wrong labels where some are known.

    published: of study.reporting.published.
    """
    results, robustness = study.results, study.measured["robustness"]
    figures = {
        "reliability": reliability_figure(results.reliability, results.calibration),
        "corruption": corruption_figure(robustness),
        "corruption_map": corruption_map_figure(results.corruption),
        "by_corruption": by_corruption_figure(robustness, published),
        "adaptation": adaptation_figure(results.adaptation),
        "interpolation": interpolation_figure(results.interpolation),
        "conformal": conformal_figure(results.sets, results.answers),
        "ood": ood_figure(results.ood),
    }
    if not results.wrong_labels.empty:
        figures["label_errors"] = label_errors_figure(study.test_images, results.wrong_labels, study.freeze)
    return figures


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
