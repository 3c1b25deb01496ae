"""The results at a glance, one line per variant: for README and the model card, and for the terminal."""

from collections.abc import Callable, Mapping
from typing import Any

from study.evaluation.per_class import listed
from study.evaluation.temperature import why_not_fitted

HEADINGS = (
    "variant",
    "what learns (parameters)",
    "accuracy",
    "ECE before",
    "ECE after",
    "corrupted accuracy",
    "training",
    "hardware",
)
LEARNS = {"fc": "head", "layer4": "last block and head", "full": "everything", "scratch": "a light network"}

Summary = Mapping[str, Mapping[str, float]]  # metrics/summary.json
Training = Mapping[str, Mapping[str, Any]]  # metrics/training.json
Calibration = Mapping[str, Mapping[str, Any]]  # metrics/calibration.json


def results_table(summary: Summary, training: Training) -> str:
    """As a Markdown table, without a line break at its end."""
    headings, *rows = _lines(summary, training, "`{}`")
    align = ["---", "---", *["---:"] * (len(headings) - 3), "---"]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headings, align, *rows))


def plain_table(summary: Summary, training: Training, calibration: Calibration) -> str:
    """In columns of fixed width, for a terminal, with the remarks under it."""
    lines = _lines(summary, training, "{}")
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([*table, *remarks(calibration)])


def remarks(calibration: Calibration, name: str = "{}", show: Callable[[str], str] = str) -> list[str]:
    """What the table does not show, a sentence each: temperatures that were not fitted, and classes never predicted.

    name: how the name of a variant is written; show: how that of a class is.
    """
    said = [
        f"The temperature of {name.format(variant)} was not fitted: {why_not_fitted(of['temperature'])}. "
        f"Its figures after scaling are those at {of['temperature']:g}."
        for variant, of in calibration.items()
        if not of["fitted"]
    ]
    never = [
        f"{name.format(variant)} never predicts {listed([show(of_class) for of_class in of['never_predicted']])}"
        for variant, of in calibration.items()
        if of["never_predicted"]
    ]
    return said + ([f"On the test images, {'; '.join(never)}."] if never else [])


def _lines(summary: Summary, training: Training, name: str) -> list[list[str]]:
    """The headings and a line for each variant; with balanced accuracy where the summary has it."""
    lines = [list(HEADINGS), *_rows(summary, training, name)]
    if "balanced_accuracy" in summary["full"]:
        balanced = [f"{100 * summary[variant]['balanced_accuracy']:.2f} %" for variant in LEARNS]
        for line, cell in zip(lines, ["balanced accuracy", *balanced], strict=True):
            line.insert(HEADINGS.index("accuracy") + 1, cell)
    return lines


def _rows(summary: Summary, training: Training, name: str) -> list[list[str]]:
    return [
        [
            name.format(variant),
            f"{LEARNS[variant]} ({training[variant]['trainable_parameters'] / 1e6:.1f} M)",
            f"{100 * summary[variant]['accuracy']:.2f} %",
            f"{summary[variant]['ece_before']:.4f}",
            f"{summary[variant]['ece_after']:.4f}",
            f"{100 * summary[variant]['corrupted_accuracy']:.2f} %",
            f"{summary[variant]['train_seconds']:,.0f} s",
            f"{training[variant]['device']}, {training[variant]['precision']}",
        ]
        for variant in LEARNS
    ]
