"""The two pictures that README and the model card show: reliability diagrams, and what corruption costs."""

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

Row = Mapping[str, Any]  # cells are text as read or numbers: both go through float()

COLOURS = ("#E69F00", "#0072B2", "#009E73", "#CC79A7")  # of the variants; Okabe & Ito, safe for colour-blind readers
MARKERS = ("o", "s", "^", "D")
ACCURACY, OVER, UNDER, SHARE = "#A6CBE3", "#D55E00", "#009E73", "#3B3B3B"
GREY = "#666666"
RARE = 0.01  # share of the images below which a bin says little
PALE = 0.3
TEXT = {"fontsize": 9}


def reliability_figure(rows: list[Row], summary: Mapping[str, Mapping[str, float]]) -> Figure:
    """A panel per variant, before scaling above after: accuracy in each bin against its mean confidence.

    rows: variant, calibration (before, after), bin_lower, bin_upper, confidence, accuracy and count; a bin whose count
    is 0 is not drawn. summary: `ece_before` and `ece_after` of each variant.
    """
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    figure = Figure(figsize=(2.9 * len(variants) + 0.6, 6.0), layout="constrained")
    panels = figure.subplots(2, len(variants), sharex=True, sharey=True, squeeze=False)
    for line, calibration in zip(panels, ("before", "after"), strict=True):
        line[0].set_ylabel(f"{calibration} scaling\naccuracy", **TEXT)
        for panel, variant in zip(line, variants, strict=True):
            bins = [row for row in rows if (row["variant"], row["calibration"]) == (variant, calibration)]
            draw_reliability(panel, [row for row in bins if int(row["count"])])
            panel.set_title(f"{variant}: ECE {summary[variant][f'ece_{calibration}']:.4f}", fontsize=10, weight="bold")
    for panel in panels[1]:
        panel.set_xlabel("confidence", **TEXT)
    legend = [
        Patch(color=ACCURACY, label="accuracy"),
        Patch(facecolor="none", edgecolor=OVER, hatch="/////", label="over-confident by"),
        Patch(facecolor="none", edgecolor=UNDER, hatch="....", label="under-confident by"),
        Patch(color=SHARE, label="share of the test images"),
        Patch(color=ACCURACY, alpha=PALE, label=f"pale: fewer than {100 * RARE:.0f} % of them"),
    ]
    figure.legend(handles=legend, loc="outside lower center", ncols=3, frameon=False, **TEXT)
    return figure


def draw_reliability(axes: Axes, bins: list[Row]) -> None:
    """Accuracy as bars, the gap to the mean confidence hatched, the share of the images as thin bars; all in [0, 1]."""
    total = sum(int(row["count"]) for row in bins)
    for row in bins:
        lower, upper = float(row["bin_lower"]), float(row["bin_upper"])
        accuracy, confidence = float(row["accuracy"]), float(row["confidence"])
        share = int(row["count"]) / total
        middle, width, alpha = (lower + upper) / 2, upper - lower, PALE if share < RARE else 1
        edge, hatch = (OVER, "/////") if confidence > accuracy else (UNDER, "....")
        axes.bar(middle, accuracy, width, color=ACCURACY, edgecolor="white", linewidth=0.6, alpha=alpha)
        gap = {"facecolor": "none", "edgecolor": edge, "hatch": hatch, "linewidth": 0, "alpha": alpha}
        axes.bar(middle, confidence - accuracy, width, accuracy, **gap)
        axes.bar(middle, share, 0.3 * width, color=SHARE)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.tick_params(labelsize=8)


def corruption_figure(rows: list[Row]) -> Figure:
    """Accuracy by severity, and ECE before and after scaling; severity 0 is the clean images.

    rows: variant, severity, accuracy, ece_before and ece_after.
    """
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    severities = sorted({int(row["severity"]) for row in rows})
    figure = Figure(figsize=(9.3, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for variant, colour, marker in zip(variants, cycle(COLOURS), cycle(MARKERS), strict=False):
        curve = [row for row in rows if row["variant"] == variant]
        severity = [int(row["severity"]) for row in curve]
        style = {"color": colour, "marker": marker, "markersize": 5}
        left.plot(severity, [float(row["accuracy"]) for row in curve], label=variant, **style)
        right.plot(
            severity, [float(row["ece_before"]) for row in curve], linestyle="--", markerfacecolor="white", **style
        )
        right.plot(severity, [float(row["ece_after"]) for row in curve], **style)
    left.set(title="accuracy", ylim=(0, 1))
    right.set(title="expected calibration error")
    right.set_ylim(bottom=0)
    for axes in (left, right):
        axes.set_xticks(severities, ["clean" if severity == 0 else str(severity) for severity in severities])
        axes.set_xlabel("severity, mean over corruptions", **TEXT)
        axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    scaling = [
        Line2D([], [], color=GREY, linestyle="--", marker="o", markerfacecolor="white", label="before scaling"),
        Line2D([], [], color=GREY, marker="o", label="after scaling"),
    ]
    handles = [*left.get_lines(), *scaling]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, **TEXT)
    return figure


def save_png(figure: Figure, path: Path) -> None:
    """The same figure gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, metadata={"Software": None}, pil_kwargs={"optimize": True})
