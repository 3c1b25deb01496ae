"""The pictures of the ablations: what each setting does to accuracy, clean and corrupted, and to calibration.

A row per setting, seed and variant: setting, train_images, variant, accuracy with accuracy_low and accuracy_high (its
interval over the test images), corrupted_accuracy, ece_before, ece_after and ece_null_upper (what chance alone may give
of it), all in [0, 1], as text or numbers. Each seed is a pale mark, their mean a dark one.
"""

from collections.abc import Mapping
from itertools import cycle
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from stages.common.figures import COLOURS, GREY, MARKERS, PALE, TEXT

Row = Mapping[str, Any]

BAND = "#E3E3E3"  # what a perfectly calibrated model may show
HOLLOW = {"marker": "o", "markerfacecolor": "white"}


def augmentation_figure(rows: list[Row]) -> Figure:
    """A line per setting, the first on top: accuracy on clean and on corrupted images, and ECE before and after."""
    settings = list(dict.fromkeys(row["setting"] for row in rows))
    clean, corrupted, error = COLOURS[1], COLOURS[0], COLOURS[2]
    figure = Figure(figsize=(9.3, 1.9 + 0.36 * len(settings)), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    for line, setting in enumerate(settings):
        seeds = [row for row in rows if row["setting"] == setting]
        panels[0].plot([mean(seeds, "accuracy_low"), mean(seeds, "accuracy_high")], [line, line], color=clean)
        panels[2].barh(line, mean(seeds, "ece_null_upper"), 0.7, color=BAND, linewidth=0)
        for axes, column, style in (
            (panels[0], "accuracy", {"color": clean, "marker": "o"}),
            (panels[1], "corrupted_accuracy", {"color": corrupted, "marker": "s"}),
            (panels[2], "ece_before", {"color": error, **HOLLOW}),
            (panels[2], "ece_after", {"color": error, "marker": "o"}),
        ):
            of_seeds = [float(row[column]) for row in seeds]
            axes.plot(of_seeds, [line] * len(seeds), linestyle="none", markersize=4, alpha=PALE, **style)
            axes.plot(fmean(of_seeds), line, linestyle="none", markersize=7, zorder=3, **style)
    names = [setting.replace("plus_", "+ ").replace("_", ", ") for setting in settings]
    panels[0].set_yticks(range(len(settings)), names)
    panels[0].invert_yaxis()
    panels[2].set_xlim(left=0)
    for axes, title in zip(
        panels, ("accuracy", "accuracy under corruption", "expected calibration error"), strict=True
    ):
        axes.set_title(title, fontsize=11)
        frame(axes)
    legend = [
        Line2D([], [], color=clean, marker="o", label="with 95 % interval over the test images"),
        Line2D([], [], color=GREY, marker="o", markersize=4, alpha=PALE, linestyle="none", label="pale: each seed"),
        Line2D([], [], color=error, linestyle="none", label="before scaling", **HOLLOW),
        Line2D([], [], color=error, marker="o", linestyle="none", label="after scaling"),
        Patch(color=BAND, label="what chance alone may give"),
    ]
    figure.legend(handles=legend, loc="outside lower center", ncols=3, frameon=False, **TEXT)
    return figure


def data_size_figure(rows: list[Row]) -> Figure:
    """A curve per variant over the training images: accuracy on clean and corrupted ones, and ECE before and after."""
    sizes = sorted({int(row["train_images"]) for row in rows})
    figure = Figure(figsize=(9.3, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    variants = dict.fromkeys(row["variant"] for row in rows)
    for variant, colour, marker in zip(variants, cycle(COLOURS), cycle(MARKERS), strict=False):
        of_variant = [row for row in rows if row["variant"] == variant]
        places = [size for size in sizes if of_size(of_variant, size)]

        def means(column: str, of_variant: list[Row] = of_variant, places: list[int] = places) -> list[float]:
            return [mean(of_size(of_variant, size), column) for size in places]

        left.fill_between(places, means("accuracy_low"), means("accuracy_high"), color=colour, alpha=PALE, linewidth=0)
        solid = {"color": colour, "marker": marker, "zorder": 3}
        dashed = {**solid, "linestyle": "--", "markerfacecolor": "white"}
        for axes, column, style in (
            (left, "accuracy", solid),
            (left, "corrupted_accuracy", dashed),
            (right, "ece_before", dashed),
            (right, "ece_after", solid),
        ):
            axes.plot(places, means(column), markersize=5, **style)
            seeds = [int(row["train_images"]) for row in of_variant], [float(row[column]) for row in of_variant]
            axes.plot(*seeds, **style | {"linestyle": "none"}, markersize=3, alpha=PALE)
        right.plot(places, means("ece_null_upper"), color=colour, linestyle=":", linewidth=1)
    left.set_title("What are more images worth?\naccuracy", fontsize=11)
    right.set_title("Do they calibrate?\nexpected calibration error", fontsize=11)
    right.set_ylim(bottom=0)
    for axes, named in ((left, ("clean images", "corrupted ones")), (right, ("after scaling", "before scaling"))):
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("training images", **TEXT)
        styles = ({"marker": "o"}, {"linestyle": "--", **HOLLOW})
        lines = [Line2D([], [], color=GREY, label=name, **style) for name, style in zip(named, styles, strict=True)]
        axes.legend(handles=lines, fontsize=8, frameon=False)
        frame(axes)
    legend = [
        *(
            Line2D([], [], color=colour, marker=marker, label=variant)
            for variant, colour, marker in zip(variants, cycle(COLOURS), cycle(MARKERS), strict=False)
        ),
        Patch(color=COLOURS[1], alpha=PALE, linewidth=0, label="95 % interval over the test images"),
        Line2D([], [], color=GREY, linestyle=":", linewidth=1, label="the most that chance may give, after scaling"),
    ]
    figure.legend(handles=legend, loc="outside lower center", ncols=3, frameon=False, **TEXT)
    return figure


def systems_figure(rows: list[Row]) -> Figure:
    """A mark per system (`setting`) and variant, at its accuracy and its seconds of training (`train_seconds`).

    `scratch` is a system of its own, whatever it was trained beside.
    """
    figure = Figure(figsize=(7.2, 4.8), layout="constrained")
    axes = figure.subplots()
    systems: dict[str, list[Row]] = {}
    for row in rows:
        name = "light network" if row["variant"] == "scratch" else row["setting"].replace("_", " ")
        systems.setdefault(f"{name}, {int(row['train_images']):,} images", []).append(row)
    markers = dict(zip(dict.fromkeys(row["variant"] for row in rows), cycle(MARKERS), strict=False))
    for (name, of_system), colour in zip(systems.items(), cycle((*COLOURS, "#56B4E9", "#D55E00")), strict=False):
        places = [(float(row["train_seconds"]), float(row["accuracy"])) for row in of_system]
        axes.plot(*zip(*places, strict=True), color=colour, linewidth=1, label=name)
        for row, (took, accuracy) in zip(of_system, places, strict=True):
            bounds = [[accuracy - float(row["accuracy_low"])], [float(row["accuracy_high"]) - accuracy]]
            axes.errorbar(took, accuracy, bounds, color=colour, marker=markers[row["variant"]], markersize=7)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("seconds of training", **TEXT)
    axes.set_title("What does each depth of each system cost, and bring?\naccuracy", fontsize=11)
    frame(axes)
    shapes = [
        Line2D([], [], color=GREY, linestyle="none", marker=marker, label=name) for name, marker in markers.items()
    ]
    lines, _ = axes.get_legend_handles_labels()
    figure.legend(handles=[*lines, *shapes], loc="outside lower center", ncols=3, frameon=False, **TEXT)
    return figure


def of_size(rows: list[Row], size: int) -> list[Row]:
    return [row for row in rows if int(row["train_images"]) == size]


def mean(rows: list[Row], column: str) -> float:
    return fmean(float(row[column]) for row in rows)


def frame(axes: Axes) -> None:
    axes.tick_params(labelsize=8)
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
