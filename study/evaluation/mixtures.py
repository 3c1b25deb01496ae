"""What networks between two trained ones gain over the second, on clean and on corrupted images."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from study.evaluation.bootstrap import LEVEL, Resampled, bootstrap, difference
from study.evaluation.paired_tests import paired_difference
from study.evaluation.robustness import counted, held_out, mean_measures
from study.evaluation.scores import confidence_and_correct
from study.evaluation.temperature import Calibrate, tempered_softmax


class Answers(NamedTuple):
    """Of a network with its temperature: confidence and correctness on the test images and under the conditions."""

    temperature: float
    test: tuple[np.ndarray, np.ndarray]  # (1, N) each
    corrupted: tuple[np.ndarray, np.ndarray]  # (conditions, images) each


def groups(conditions: pd.DataFrame) -> dict[str, pd.Index]:
    """The rows of the benchmark's corruptions and of those held out, by what their columns in the table begin with."""
    return {"corrupted_": counted(conditions).index, "held_out_": held_out(conditions).index}


def confident(logits: np.ndarray, labels: np.ndarray, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Confidence and correctness, (1, N) each, of logits (N, C)."""
    confidence, correct = confidence_and_correct(tempered_softmax(logits, temperature), labels)
    return confidence[None], correct[None]


def gains(answers: Mapping[float, Answers], conditions: pd.DataFrame, block: Calibrate) -> pd.DataFrame:
    """A row per share of the second network, where the share 1 is that network itself.

    accuracy and ece are those on the test images; with a prefix of `groups`, means over its conditions; and accuracies
    have their gain over the share 1, with its paired interval: a score interval on the test images, else a bootstrap.
    """
    figures = {share: _resampled(answers[share], groups(conditions), block) for share in sorted(answers)}

    def gained(share: float) -> dict[str, dict[str, float]]:
        second, of = figures[1.0], figures[share]
        found = {name: difference(second[name], of[name]) for name in of if name.endswith("accuracy")}
        if share != 1:  # the second network gains nothing over itself, for certain
            found["accuracy"] = paired_difference(answers[1.0].test[1][0], answers[share].test[1][0], LEVEL)
        return found

    return pd.DataFrame(
        {"share": share, "temperature": answers[share].temperature}
        | {name: figure.estimate for name, figure in of.items()}
        | _columns(gained(share))
        for share, of in figures.items()
    )


def _resampled(answers: Answers, rows: Mapping[str, pd.Index], block: Calibrate) -> dict[str, Resampled]:
    confidence, correct = answers.corrupted
    parts = {"": answers.test} | {name: (confidence[of], correct[of]) for name, of in rows.items() if len(of)}
    return {
        f"{prefix}{name}": figure
        for prefix, (sure, right) in parts.items()
        for name, figure in bootstrap(
            mean_measures(sure, right, block.bins), right.shape[1], block.resamples, block.seed
        ).items()
    }


def _columns(differences: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    ends = {"": "difference", "_low": "low", "_high": "high"}
    return {f"{name}_gain{suffix}": of[key] for name, of in differences.items() for suffix, key in ends.items()}
