"""What the other stages measured, gathered over the variants from results/."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pandas as pd

from study.pipeline.files import read_json, read_table
from study.pipeline.params import Refusal

T = TypeVar("T")


class Results(NamedTuple):
    """What was measured of every variant has a key or a column `variant` for each. Formats: the stages that write."""

    calibration: dict[str, dict[str, Any]]
    training: dict[
        str, dict[str, Any]
    ]  # and `features`: the seconds of the pass that those with `cached_features` share
    comparison: dict[str, Any]  # of each pair of variants, on the same test images
    conformal: dict[str, dict[str, Any]]
    label_errors: dict[str, Any]
    adversarial_checks: dict[str, dict[str, Any]]
    attribution: dict[str, Any]
    export: dict[str, Any]
    reliability: pd.DataFrame  # a row per variant, before or after scaling, and bin
    confusion: pd.DataFrame  # a row per variant and test image
    corruption: pd.DataFrame  # a row per variant, corruption and severity; severity 0 is the clean images, once
    adaptation: pd.DataFrame  # a row per variant, corruption, severity and batch size; batch size 0 is no adaptation
    interpolation: pd.DataFrame  # a row per share of `full`
    sets: pd.DataFrame  # a row per variant, corruption, severity, score and wanted coverage
    answers: pd.DataFrame  # a row per variant, corruption, severity and allowed error rate
    ood: pd.DataFrame  # a row per variant, set of images outside the classes, and score
    wrong_labels: pd.DataFrame  # a row per wrong label among the test images
    adversarial: pd.DataFrame  # a row per variant, attack and epsilon
    curves: pd.DataFrame  # a row per variant, phase and epoch
    shown: pd.DataFrame  # a row per picture in the galleries of the published variant

    @property
    def variants(self) -> tuple[str, ...]:
        return tuple(self.calibration)


def load_results(root: Path, variants: Iterable[str]) -> Results:
    """What was measured of these variants, in this order.

    Raises Refusal, naming the first file that is missing and the stage that makes it.
    """
    results, variants = root / "results", tuple(variants)

    def figures(folder: str, name: str, stage: str) -> dict[str, Any]:
        return {of: _read(read_json, results / folder / of / name, stage.format(of)) for of in variants}

    def table(folder: str, name: str, stage: str) -> pd.DataFrame:
        parts = {of: _read(read_table, results / folder / of / name, stage.format(of)) for of in variants}
        parts = {of: part.drop(columns="variant", errors="ignore") for of, part in parts.items()}
        return pd.concat(parts, names=["variant"]).reset_index("variant").reset_index(drop=True)

    return Results(
        calibration=figures("calibration", "metrics.json", "calibrate@{}"),
        training={
            "features": _read(read_json, results / "training/features.json", "features"),
            **figures("training", "cost.json", "train_{}"),
        },
        comparison=_read(read_json, results / "comparison.json", "compare"),
        conformal=figures("conformal", "metrics.json", "conformal@{}"),
        label_errors=_read(read_json, results / "label_errors/summary.json", "label_errors"),
        adversarial_checks=figures("adversarial", "checks.json", "adversarial@{}"),
        attribution=_read(read_json, results / "gradcam/attribution.json", "gradcam"),
        export=_read(read_json, results / "export.json", "export"),
        reliability=table("calibration", "reliability.csv", "calibrate@{}"),
        confusion=table("calibration", "confusion.csv", "calibrate@{}"),
        corruption=table("corruption", "conditions.csv", "corrupt_eval@{}"),
        adaptation=table("adaptation", "conditions.csv", "adapt@{}"),
        interpolation=_read(read_table, results / "interpolation.csv", "interpolate"),
        sets=table("conformal", "sets.csv", "conformal@{}"),
        answers=table("conformal", "answers.csv", "conformal@{}"),
        ood=table("ood", "scores.csv", "ood@{}"),
        wrong_labels=_read(read_table, results / "label_errors/images.csv", "label_errors"),
        adversarial=table("adversarial", "accuracy.csv", "adversarial@{}"),
        curves=table("training", "curve.csv", "train_{}"),
        shown=_read(read_table, results / "gradcam/shown.csv", "gradcam"),
    )


def _read(read: Callable[[Path], T], path: Path, stage: str) -> T:
    try:
        return read(path)
    except FileNotFoundError:
        raise Refusal(f"{path} is missing: `dvc repro {stage}` makes it") from None
