"""What corruption costs each variant, in accuracy and calibration, from the table of conditions.

A condition is a corruption at a severity. The table has a row per variant and condition: variant, corruption, group,
severity, images, accuracy, ece_before, ece_after, ece_null_mean and ece_null_upper (mean and upper end of the null band
after scaling). Severity 0 is the clean images, once per variant.
"""

from typing import Any

import numpy as np
import pandas as pd

from study.evaluation.bootstrap import Measure
from study.evaluation.calibration_errors import binned_ece

MEASURES = ["accuracy", "ece_before", "ece_after", "ece_null_mean", "ece_null_upper"]


def counted(conditions: pd.DataFrame) -> pd.DataFrame:
    """The rows that means are taken over: those of the benchmark's corruptions.

    If there are none, all corruptions count. The clean images never do.
    """
    corrupted = conditions[conditions["severity"] > 0]
    benchmark = corrupted[corrupted["group"] == "benchmark"]
    return corrupted if benchmark.empty else benchmark


def held_out(conditions: pd.DataFrame) -> pd.DataFrame:
    """The rows of the corruptions that no choice looks at, which have a mean of their own."""
    return conditions[conditions["group"] == "held_out"]


def mean_measures(confidence: np.ndarray, correct: np.ndarray, bins: int) -> dict[str, Measure]:
    """Accuracy and ECE, averaged over conditions, as functions of how many copies of each image a sample holds.

    confidence, correct: (conditions, N). A sample keeps an image with all its corruptions, whose errors go together.
    """
    right = correct.mean(axis=0)

    def accuracy(weights: np.ndarray) -> np.ndarray:
        mean: np.ndarray = (weights * right).mean(axis=-1)
        return mean

    def ece(weights: np.ndarray) -> np.ndarray:
        errors = [binned_ece(*of, weights, bins=bins) for of in zip(confidence, correct, strict=True)]
        mean: np.ndarray = np.mean(errors, axis=0)
        return mean

    return {"accuracy": accuracy, "ece": ece}


def robustness(conditions: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Per variant: results on clean images, under corruption on average, and by severity and corruption.

    `conditions` is how many count, `scaling_helps` in how many of those the temperature lowers the ECE. `retained` is
    the corrupted accuracy as a share of the clean one, None if that is zero.
    """
    conditions = conditions.assign(scaling_helps=conditions["ece_after"] < conditions["ece_before"])
    return {str(variant): _of_variant(rows) for variant, rows in conditions.groupby("variant", sort=False)}


def adapted_changes(adaptation: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Per variant and corruption: what adapted batch-norm statistics change in accuracy, mean over the severities.

    adaptation: variant, corruption, severity, accuracy and batch_size, where 0 is no adaptation and the largest is
    measured at every severity.
    """
    corrupted = adaptation[adaptation["severity"] > 0]
    table = corrupted.pivot_table("accuracy", ["variant", "corruption"], "batch_size", sort=False)
    change = table[table.columns.max()] - table[0]
    return {
        str(variant): {str(name): float(of) for name, of in changes.droplevel("variant").items()}
        for variant, changes in change.groupby("variant", sort=False)
    }


def _of_variant(rows: pd.DataFrame) -> dict[str, Any]:
    clean, conditions = rows[rows["severity"] == 0], counted(rows)
    accuracy, corrupted = float(clean["accuracy"].iloc[0]), means(conditions)
    severities = pd.concat([clean, conditions]).groupby("severity")
    corruptions = rows[rows["severity"] > 0].groupby("corruption", sort=False)
    return {
        "images": int(clean["images"].iloc[0]),
        "conditions": len(conditions),
        "clean": means(clean),
        "corrupted": corrupted,
        "retained": corrupted["accuracy"] / accuracy if accuracy else None,
        "scaling_helps": int(conditions["scaling_helps"].sum()),
        "by_severity": {str(severity): means(at) for severity, at in severities},
        "by_corruption": {str(name): {"group": at["group"].iloc[0], **means(at)} for name, at in corruptions},
    }


def means(conditions: pd.DataFrame) -> dict[str, float]:
    """The mean of each of MEASURES."""
    return {str(measure): float(mean) for measure, mean in conditions[MEASURES].mean().items()}
