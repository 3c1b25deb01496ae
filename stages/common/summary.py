"""The headline figures of every variant: one small table that `dvc metrics diff` compares."""

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from stages.common.robustness import counted
from stages.common.variants import FINE_TUNED


def summarise(
    calibration: Mapping[str, Mapping[str, Any]],
    corruption: list[Mapping[str, str]],
    training: Mapping[str, Mapping[str, Any]],
) -> dict[str, dict[str, float]]:
    """Per variant: what it got right on the test images, how honest its probabilities are, and what it cost.

    Accuracy, ECE and macro F1 in [0, 1], NLL in nats, Brier in [0, 2]; `before` and `after` temperature scaling.
    `corrupted_*` are means over the conditions that `robustness.counted` counts. `train_seconds` has the
    `shared_seconds`, as each variant alone would need them.
    """
    return {
        variant: {
            "accuracy": scores["after"]["accuracy"],
            "ece_before": scores["before"]["ece"],
            "ece_after": scores["after"]["ece"],
            "nll_before": scores["before"]["nll"],
            "nll_after": scores["after"]["nll"],
            "brier_after": scores["after"]["brier"],
            "macro_f1": scores["after"]["macro_f1"],
            "temperature": scores["temperature"],
            "corrupted_accuracy": _corrupted(corruption, variant, "accuracy"),
            "corrupted_ece_before": _corrupted(corruption, variant, "ece_before"),
            "corrupted_ece_after": _corrupted(corruption, variant, "ece_after"),
            "train_seconds": shared_seconds(training, variant) + training[variant]["train_seconds"],
        }
        for variant, scores in calibration.items()
    }


def shared_seconds(training: Mapping[str, Mapping[str, Any]], variant: str) -> float:
    """Those of the pass through the frozen backbone, for what is fine-tuned on it."""
    return training["features"]["seconds"] if variant in FINE_TUNED else 0.0


def _corrupted(rows: list[Mapping[str, str]], variant: str, column: str) -> float:
    return fmean(float(row[column]) for row in counted(row for row in rows if row["variant"] == variant))


def per_class_table(calibration: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row per variant and class: precision, recall and F1 in [0, 1], and how many test images there are."""
    return [
        {"variant": variant, "class": name, **scores}
        for variant, of_variant in calibration.items()
        for name, scores in of_variant["per_class"].items()
    ]
