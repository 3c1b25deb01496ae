"""What corruption costs each variant, in accuracy and calibration, from the table of conditions.

A condition is a corruption at a severity. The table has a row per variant and condition: variant, corruption, group,
severity, images, accuracy, ece_before, ece_after, ece_null_mean and ece_null_upper (mean and upper end of the null band
after scaling). Severity 0 is the clean images, once per variant.
"""

from typing import Any

import numpy as np
import pandas as pd

MEASURES = ["accuracy", "ece_before", "ece_after", "ece_null_mean", "ece_null_upper"]


def counted(conditions: pd.DataFrame) -> pd.DataFrame:
    """The rows that means are taken over: those of the benchmark's corruptions.

    If there are none, all corruptions count. The clean images never do.
    """
    corrupted = conditions[conditions["severity"] > 0]
    benchmark = corrupted[corrupted["group"] == "benchmark"]
    return corrupted if benchmark.empty else benchmark


def share_right(conditions: pd.DataFrame, correct: np.ndarray) -> np.ndarray:
    """For each image, the share of the counted conditions in which it is classified right: (N,), in [0, 1].

    conditions: of one variant; correct: bool (rows, N). The mean over images is the mean accuracy over the conditions.
    """
    shares: np.ndarray = correct[np.isin(conditions.index, counted(conditions).index)].mean(axis=0)
    return shares


def robustness(conditions: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Per variant: results on clean images, under corruption on average, and by severity and corruption.

    `conditions` is how many count. Of those, `most_accurate` counts where no other variant is more accurate,
    `scaling_helps` where the temperature lowers the ECE, and `within_null` where the ECE after scaling is within the
    null band. `retained` is the corrupted accuracy as a share of the clean one.
    """
    best = conditions.groupby(["corruption", "severity"])["accuracy"].transform("max")
    conditions = conditions.assign(
        most_accurate=conditions["accuracy"] == best,
        scaling_helps=conditions["ece_after"] < conditions["ece_before"],
        within_null=conditions["ece_after"] <= conditions["ece_null_upper"],
    )
    return {str(variant): _of_variant(rows) for variant, rows in conditions.groupby("variant", sort=False)}


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
        "retained": corrupted["accuracy"] / accuracy,
        **{count: int(conditions[count].sum()) for count in ("most_accurate", "scaling_helps", "within_null")},
        "by_severity": {str(severity): means(at) for severity, at in severities},
        "by_corruption": {str(name): {"group": at["group"].iloc[0], **means(at)} for name, at in corruptions},
    }


def means(conditions: pd.DataFrame) -> dict[str, float]:
    """The mean of each of MEASURES."""
    return {str(measure): float(mean) for measure, mean in conditions[MEASURES].mean().items()}
