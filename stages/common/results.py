"""What the other stages measured, gathered over the variants from results/ and plots/gradcam/."""

import csv
import json
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from stages.common.params import Refusal
from stages.common.variants import VARIANTS

Row = dict[str, str]  # a line of a CSV as text: what is copied keeps every digit that was measured


class Results(NamedTuple):
    """What was measured of every variant has a key or a column `variant` for each. Formats: the stages that write."""

    calibration: dict[str, dict[str, Any]]
    training: dict[str, dict[str, Any]]  # and `features`: the seconds of the pass that the fine-tuned variants share
    comparison: dict[str, Any]  # of each pair of variants, on the same test images
    adversarial_checks: dict[str, dict[str, Any]]
    attribution: dict[str, Any]
    export: dict[str, Any]
    reliability: list[Row]  # a row per variant, before or after scaling, and bin
    confusion: list[Row]  # a row per variant and test image
    corruption: list[Row]  # a row per variant, corruption and severity; severity 0 is the clean images, once
    adversarial: list[Row]  # a row per variant, attack and epsilon
    curves: list[Row]  # a row per variant, phase and epoch
    cams: list[Row]  # a row per picture in the galleries of the published variant


def load_results(root: Path) -> Results:
    """Raises Refusal, naming the first file that is missing and the stage that makes it."""
    results = root / "results"

    def table(pattern: str, stage: str) -> list[Row]:
        return [
            {"variant": variant} | row
            for variant in VARIANTS
            for row in _read_csv(results / pattern.format(variant), stage.format(variant))
        ]

    def figures(pattern: str, stage: str) -> dict[str, Any]:
        return {variant: _read_json(results / pattern.format(variant), stage.format(variant)) for variant in VARIANTS}

    return Results(
        calibration=figures("calibration/{}.json", "calibrate@{}"),
        training={
            "features": _read_json(results / "training/features.json", "features"),
            **figures("training/{}.json", "train_{}"),
        },
        comparison=_read_json(results / "comparison.json", "compare"),
        adversarial_checks=figures("adversarial/{}.json", "adversarial@{}"),
        attribution=_read_json(results / "attribution.json", "gradcam"),
        export=_read_json(results / "export.json", "export"),
        reliability=table("calibration/{}_reliability.csv", "calibrate@{}"),
        confusion=table("calibration/{}_confusion.csv", "calibrate@{}"),
        corruption=table("corruption/{}.csv", "corrupt_eval@{}"),
        adversarial=table("adversarial/{}.csv", "adversarial@{}"),
        curves=table("training/{}.csv", "train_{}"),
        cams=_read_csv(results / "gradcam.csv", "gradcam"),
    )


def _read_json(path: Path, stage: str) -> dict[str, Any]:
    return json.loads(_read(path, stage))


def _read_csv(path: Path, stage: str) -> list[Row]:
    return list(csv.DictReader(StringIO(_read(path, stage), newline="")))


def _read(path: Path, stage: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Refusal(f"{path} is missing: `dvc repro {stage}` makes it") from None
