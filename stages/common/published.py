"""Accuracies on CIFAR-10-C that others published, quoted beside the measured ones and never mixed with them."""

import csv
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

PUBLISHED = Path(__file__).parents[1] / "templates/published_cifar10c.csv"


def published_accuracies(dataset: str, by_corruption: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Per published model: its `source`, its accuracy `by_corruption` (mean over the severities) and their `mean`.

    Both models were trained on CIFAR-10 alone without defences: WRN-28-10 is RobustBench's `Standard`, PreActResNet-18
    the standard one of Kireev et al. 2022. by_corruption: what was measured here, with its `group`; only what is the
    benchmark's is told and counted, so that the means compare. {} when there is nothing to compare, as on other data.
    """
    models: dict[str, dict[str, Any]] = {}
    with PUBLISHED.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if dataset == "cifar10" and by_corruption.get(row["corruption"], {}).get("group") == "benchmark":
                model = models.setdefault(row["model"], {"source": row["source"], "by_corruption": {}})
                severities = [float(row[column]) for column in row if column.startswith("severity_")]
                model["by_corruption"][row["corruption"]] = fmean(severities)
    return {name: {**model, "mean": fmean(model["by_corruption"].values())} for name, model in models.items()}
