"""The results at a glance, one line per variant: for README and the model card, and for the terminal."""

from collections.abc import Mapping
from typing import Any

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


def results_table(summary: Summary, training: Training) -> str:
    """As a Markdown table, without a line break at its end."""
    align = ["---", "---", *["---:"] * 5, "---"]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (HEADINGS, align, *_rows(summary, training, "`{}`")))


def plain_table(summary: Summary, training: Training) -> str:
    """In columns of fixed width, for a terminal."""
    lines = [HEADINGS, *_rows(summary, training, "{}")]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _rows(summary: Summary, training: Training, name: str) -> list[tuple[str, ...]]:
    return [
        (
            name.format(variant),
            f"{LEARNS[variant]} ({training[variant]['trainable_parameters'] / 1e6:.1f} M)",
            f"{100 * summary[variant]['accuracy']:.2f} %",
            f"{summary[variant]['ece_before']:.4f}",
            f"{summary[variant]['ece_after']:.4f}",
            f"{100 * summary[variant]['corrupted_accuracy']:.2f} %",
            f"{summary[variant]['train_seconds']:,.0f} s",
            f"{training[variant]['device']}, {training[variant]['precision']}",
        )
        for variant in LEARNS
    ]
