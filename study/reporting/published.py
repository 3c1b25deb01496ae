"""What others published, quoted beside what was measured and never mixed with it."""

from collections.abc import Mapping
from typing import Any

from study.pipeline.files import read_table
from study.reporting.formats import TEMPLATES

# Single-crop errors on ImageNet of Microsoft's network, before a block of it was cut and the rest bundled.
TOP_1, TOP_5 = 0.29186, 0.10284  # microsoft/CNTK, PretrainedModels/Image.md
PUBLISHED = TEMPLATES / "published_cifar10c.csv"


def published_accuracies(dataset: str, by_corruption: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """On CIFAR-10-C. Per published model: `source`, accuracy `by_corruption` (mean over severities) and their `mean`.

    Both models were trained on CIFAR-10 alone without defences: WRN-28-10 is RobustBench's `Standard`, PreActResNet-18
    the standard one of Kireev et al. 2022. by_corruption: what was measured here, with its `group`; only what is the
    benchmark's is told and counted, so that the means compare. {} when there is nothing to compare, as on other data.
    """
    measured = [name for name, scores in by_corruption.items() if scores["group"] == "benchmark"]
    table = read_table(PUBLISHED)
    table = table[table["corruption"].isin(measured)] if dataset == "cifar10" else table[:0]
    table = table.assign(accuracy=table.filter(like="severity_").mean(axis=1))
    return {
        str(model): {
            "source": rows["source"].iloc[0],
            "by_corruption": dict(zip(rows["corruption"], rows["accuracy"].tolist(), strict=True)),
            "mean": float(rows["accuracy"].mean()),
        }
        for model, rows in table.groupby("model", sort=False)
    }
