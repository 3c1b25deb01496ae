"""The pictures of the studies: what each setting does to accuracy, clean and corrupted, and to calibration.

A row per setting, seed and variant: setting, train_images, variant, accuracy with accuracy_low and accuracy_high (its
interval over the test images), corrupted_accuracy, ece_before, ece_after and ece_null_upper (what chance alone may give
of it), all in [0, 1], and train_seconds. Each seed is a pale mark, their mean a dark one.
"""

from collections.abc import Callable
from itertools import cycle
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from study.reporting.figures import COLOURS, GREY, MARKERS, PALE, TEXT, frame

BAND = "#E3E3E3"  # what a perfectly calibrated model may show
HOLLOW: dict[str, Any] = {"marker": "o", "markerfacecolor": "white"}


def augmentation_figure(table: pd.DataFrame) -> Figure:
    """A line per setting, the first on top: accuracy on clean and on corrupted images, and ECE before and after."""
    settings = table.groupby("setting", sort=False)
    clean, corrupted, error = COLOURS[1], COLOURS[0], COLOURS[2]
    figure = Figure(figsize=(9.3, 1.9 + 0.36 * len(settings)), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    names = []
    for line, (setting, seeds) in enumerate(settings):
        names.append(str(setting).replace("plus_", "+ ").replace("_", ", "))
        mean = seeds.mean(numeric_only=True)
        panels[0].plot([mean["accuracy_low"], mean["accuracy_high"]], [line, line], color=clean)
        panels[2].barh(line, mean["ece_null_upper"], 0.7, color=BAND, linewidth=0)
        styles: tuple[tuple[Axes, str, dict[str, Any]], ...] = (
            (panels[0], "accuracy", {"color": clean, "marker": "o"}),
            (panels[1], "corrupted_accuracy", {"color": corrupted, "marker": "s"}),
            (panels[2], "ece_before", {"color": error, **HOLLOW}),
            (panels[2], "ece_after", {"color": error, "marker": "o"}),
        )
        for axes, column, style in styles:
            axes.plot(seeds[column], [line] * len(seeds), linestyle="none", markersize=4, alpha=PALE, **style)
            axes.plot(mean[column], line, linestyle="none", markersize=7, zorder=3, **style)
    panels[0].set_yticks(range(len(settings)), names)
    panels[0].invert_yaxis()
    panels[2].set_xlim(left=0)
    titles = ("accuracy", "accuracy under corruption", "expected calibration error")
    for axes, title in zip(panels, titles, strict=True):
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


def augmix_figure(table: pd.DataFrame) -> Figure:
    """A line per variant, from its figure without AugMix (hollow) to that with it: accuracy, corrupted accuracy, ECE.

    The settings are "plain" and "augmix". The third panel is the ECE under corruption (`corrupted_ece_after`).
    """
    variants = list(dict.fromkeys(table["variant"]))
    means = table.groupby(["setting", "variant"]).mean(numeric_only=True)
    figure = Figure(figsize=(9.3, 1.7 + 0.36 * len(variants)), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    columns = ("accuracy", "corrupted_accuracy", "corrupted_ece_after")
    titles = ("accuracy", "accuracy under corruption", "ECE under corruption")
    for axes, column, title in zip(panels, columns, titles, strict=True):
        for line, variant in enumerate(variants):
            plain, augmix = (means[column].get((setting, variant), float("nan")) for setting in ("plain", "augmix"))
            axes.plot([plain, augmix], [line, line], color=GREY, linewidth=1.5, zorder=1)
            axes.plot(plain, line, color=COLOURS[line], markersize=7, **HOLLOW)
            axes.plot(augmix, line, color=COLOURS[line], markersize=7, marker="o")
        axes.set_title(title, fontsize=11)
        axes.margins(x=0.15)
        frame(axes)
    panels[0].set_yticks(range(len(variants)), variants)
    panels[0].margins(y=0.2)
    panels[0].invert_yaxis()
    legend = [
        Line2D([], [], color=GREY, linestyle="none", label="crop and flip", **HOLLOW),
        Line2D([], [], color=GREY, linestyle="none", marker="o", label="and AugMix"),
    ]
    figure.legend(handles=legend, loc="outside lower center", ncols=2, frameon=False, **TEXT)
    return figure


def data_size_figure(table: pd.DataFrame) -> Figure:
    """A curve per variant over the training images: accuracy on clean and on corrupted ones, and ECE after scaling."""
    sizes = sorted(table["train_images"].unique())
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    clean, corrupted, error = panels = figure.subplots(1, 3, width_ratios=(4, 4, 3))
    corrupted.sharey(clean)
    ends: dict[Axes, list[tuple[float, str, str]]] = {axes: [] for axes in panels}
    variants = table.groupby("variant", sort=False)
    for (variant, seeds), colour, marker in zip(variants, cycle(COLOURS), cycle(MARKERS), strict=False):
        mean = seeds.groupby("train_images").mean(numeric_only=True)
        clean.fill_between(
            mean.index, mean["accuracy_low"], mean["accuracy_high"], color=colour, alpha=PALE, linewidth=0
        )
        for axes, column in zip(panels, ("accuracy", "corrupted_accuracy", "ece_after"), strict=True):
            style = {"color": colour, "marker": marker}
            axes.plot(mean.index, mean[column], markersize=5, zorder=3, **style)
            axes.plot(seeds["train_images"], seeds[column], linestyle="none", markersize=3, alpha=PALE, **style)
            ends[axes].append((mean[column].iloc[-1], str(variant), colour))
        error.plot(mean.index, mean["ece_null_upper"], color=colour, linestyle=":", linewidth=1)
    titles = ("accuracy, clean test images", "accuracy, corrupted ones", "ECE after scaling, clean ones")
    error.set_ylim(bottom=0)
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(title, fontsize=11)
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.set_xticks([], minor=True)
        axes.set_xlim(right=2.2 * sizes[-1])  # for the names
        axes.set_xlabel("training images", **TEXT)
        frame(axes)
        label_ends(axes, sizes[-1], ends[axes])
    legend = [
        Line2D([], [], color=GREY, marker="o", markersize=4, alpha=PALE, linestyle="none", label="pale: each seed"),
        Patch(color=COLOURS[1], alpha=PALE, linewidth=0, label="95 % interval over the test images"),
        Line2D([], [], color=GREY, linestyle=":", linewidth=1, label="the most that chance may give"),
    ]
    figure.legend(handles=legend, loc="outside lower center", ncols=3, frameon=False, **TEXT)
    return figure


def label_ends(axes: Axes, x: float, ends: list[tuple[float, str, str]]) -> None:
    """Names right of the ends (y, name, colour) of curves, moved apart where they would overlap."""
    low, high = axes.get_ylim()
    lowest = low
    for y, name, colour in sorted(ends):
        y = max(y, lowest)
        axes.annotate(name, (x, y), (8, 0), textcoords="offset points", color=colour, va="center", fontsize=9)
        lowest = y + 0.05 * (high - low)


def recipes_figure(table: pd.DataFrame) -> Figure:
    """A mark per setting, such as 64to96px_8, at its accuracy on val (`val_accuracy`) and its seconds of training."""
    figure = Figure(figsize=(7.2, 4.8), layout="constrained")
    axes = figure.subplots()
    means = table.groupby("setting")[["train_seconds", "val_accuracy"]].mean().sort_values("train_seconds")
    axes.plot(means["train_seconds"], means["val_accuracy"], color=COLOURS[1], marker="o", linestyle="none")
    for (name, row), side in zip(means.iterrows(), cycle(("left", "right")), strict=False):
        pixels, epochs = str(name).replace("to", " to ").split("px_")
        place, offset = (row["train_seconds"], row["val_accuracy"]), (8 if side == "left" else -8, 0)
        label = f"{pixels} px, {epochs} epochs"
        axes.annotate(label, place, offset, textcoords="offset points", ha=side, va="center", **TEXT)
    axes.set_xlabel("seconds of training", **TEXT)
    axes.set_title("What does a second of training buy?\naccuracy on the validation images", fontsize=11)
    axes.margins(x=0.4, y=0.1)
    frame(axes)
    return figure


def systems_figure(table: pd.DataFrame) -> Figure:
    """A mark per system (`setting`) and variant, at its accuracy and its seconds of training.

    `scratch` is a system of its own, whatever it was trained beside.
    """
    figure = Figure(figsize=(7.2, 4.8), layout="constrained")
    axes = figure.subplots()
    names = table["setting"].str.replace("_", " ").mask(table["variant"] == "scratch", "light network")
    systems = table.groupby([names, "train_images"], sort=False)
    markers = dict(zip(table["variant"].unique(), cycle(MARKERS), strict=False))
    for ((name, images), system), colour in zip(systems, cycle((*COLOURS, "#56B4E9", "#D55E00")), strict=False):
        axes.plot(
            system["train_seconds"], system["accuracy"], color=colour, linewidth=1, label=f"{name}, {images:,} images"
        )
        for _, row in system.iterrows():
            bounds = [[row["accuracy"] - row["accuracy_low"]], [row["accuracy_high"] - row["accuracy"]]]
            place, marker = (row["train_seconds"], row["accuracy"]), markers[row["variant"]]
            axes.errorbar(*place, bounds, color=colour, marker=marker, markersize=7)
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


FIGURES: dict[str, Callable[[pd.DataFrame], Figure]] = {  # by study
    "augmentation": augmentation_figure,
    "augmix": augmix_figure,
    "data_size": data_size_figure,
    "recipes": recipes_figure,
    "systems": systems_figure,
}
