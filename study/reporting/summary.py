"""What metrics/ holds: the headline figures of every variant, which `dvc metrics diff` compares, and their details."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from study.evaluation.robustness import adapted_changes, counted, means, robustness
from study.pipeline.variants import FINE_TUNED, Variant
from study.reporting.results import Results


def measurements(results: Results, freeze: Variant) -> dict[str, dict[str, Any]]:
    """The content of each metrics/*.json, by the name of the file without its ending."""
    summary = summarise(results.calibration, results.corruption, results.training)
    for variant, shift in results.comparison["shift"].items():
        summary[variant] |= under_shift(shift)
    changes = adapted_changes(results.adaptation)
    return {
        "summary": summary | {"published": summary[freeze]},
        "calibration": results.calibration,
        "comparison": results.comparison,
        "robustness": {
            variant: scores | {"adapted_change": changes[variant]}
            for variant, scores in robustness(results.corruption).items()
        },
        "adversarial": results.adversarial_checks,
        "attribution": results.attribution,
        "training": results.training,
        "export": results.export,
    }


def measured_tables(results: Results) -> dict[str, pd.DataFrame]:
    """Each metrics/*.csv, by the name of the file without its ending."""
    return {
        "per_class": per_class_table(results.calibration),
        "corruption": results.corruption,
        "adaptation": results.adaptation,
        "interpolation": results.interpolation,
        "adversarial": results.adversarial,
        "gradcam": results.shown,
    }


def summarise(
    calibration: Mapping[str, Mapping[str, Any]],
    corruption: pd.DataFrame,
    training: Mapping[str, Mapping[str, Any]],
) -> dict[str, dict[str, float]]:
    """Per variant: what it got right on the test images, how honest its probabilities are, and what it cost.

    Accuracy, ECE and macro F1 in [0, 1], NLL in nats, Brier in [0, 2]; `before` and `after` temperature scaling.
    `corrupted_*` are means over the conditions that `robustness.counted` counts. `train_seconds` includes
    `shared_seconds`, because each variant alone would need them.
    """
    corrupted = {str(variant): means(counted(rows)) for variant, rows in corruption.groupby("variant")}
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
            "corrupted_accuracy": corrupted[variant]["accuracy"],
            "corrupted_ece_before": corrupted[variant]["ece_before"],
            "corrupted_ece_after": corrupted[variant]["ece_after"],
            "train_seconds": shared_seconds(training, variant) + training[variant]["train_seconds"],
        }
        for variant, scores in calibration.items()
    }


def under_shift(shift: Mapping[str, Any]) -> dict[str, float]:
    """The held-out corruptions' means, where there are any, and what adapted batch-norm statistics change."""
    held_out = {f"held_out_{name}": figure["mean"] for name, figure in shift.get("held_out", {}).items()}
    return held_out | {f"adapted_{name}_change": of["difference"] for name, of in shift["adapted"]["change"].items()}


def shared_seconds(training: Mapping[str, Mapping[str, Any]], variant: str) -> float:
    """Seconds of the pass through the frozen backbone, which the fine-tuned variants share; 0 for the others."""
    return float(training["features"]["seconds"]) if variant in FINE_TUNED else 0.0


def per_class_table(calibration: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """A row per variant and class: precision, recall and F1 in [0, 1], and how many test images there are."""
    parts = {of: pd.DataFrame.from_dict(scores["per_class"], orient="index") for of, scores in calibration.items()}
    return pd.concat(parts, names=["variant", "class"]).reset_index()
