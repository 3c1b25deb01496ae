"""The picture of training at equal accuracy: validation accuracy over seconds of training, a panel for each depth."""

from math import ceil
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter, StrMethodFormatter

from lab.benchmarks.measuring.curve import GUESSING, Curve, from_text, started
from study.reporting.figures import COLOURS, GREY, MARKERS, TEXT

NAMES = {"ours": "ours", "tutorial": "PyTorch's tutorial", "with_fastai": "fastai", "with_lightning": "Lightning"}
MARKS = 14  # of a curve, at most


def training_figure(rows: pd.DataFrame) -> Figure:
    """rows: image_size, run, depth, contender, curve, and seconds of the rows of the features."""
    sizes = sorted(rows["image_size"].unique())
    trained = rows[rows["depth"] != "features"]
    depths = trained["depth"].unique()
    features = rows[rows["depth"] == "features"].set_index(["image_size", "run"])["seconds"]
    figure = Figure(figsize=(3.1 * len(depths) + 0.3, 3 * len(sizes) + 0.7), layout="constrained")
    panels = figure.subplots(len(sizes), len(depths), sharex="row", sharey=True, squeeze=False)
    for line, size in zip(panels, sizes, strict=True):
        for axes, depth in zip(line, depths, strict=True):
            here = trained[(trained["image_size"] == size) & (trained["depth"] == depth)]
            axes.set_visible(len(here) > 0)
            for contender, runs in here.groupby("contender"):
                curves = [from_text(curve) for curve in runs["curve"]]
                if contender == "ours":
                    draw(axes, "ours", curves, linestyle=":", markerfacecolor="white")
                    behind = [features[size, run] for run in runs["run"]]
                    curves = [started(*each, GUESSING)[1:] for each in zip(curves, behind, strict=True)]
                draw(axes, contender, curves)
            frame(axes)
            axes.set_title(f"{depth}, {size} px", fontsize=11)
        line[0].set_ylabel("validation accuracy", **TEXT)
    for axes in panels[-1]:
        axes.set_xlabel("seconds of training", **TEXT)
    figure.legend(handles=legend(), loc="outside lower center", ncols=5, frameon=False, **TEXT)
    return figure


def style(contender: str) -> dict[str, Any]:
    place = list(NAMES).index(contender)
    return {"color": COLOURS[place], "marker": MARKERS[place]}


def draw(axes: Axes, contender: str, runs: list[Curve], **how: str) -> None:
    """The median of the runs, and a band from the lowest to the highest, over the epochs that all have."""
    epochs = np.array(list(zip(*runs, strict=False)))  # epoch, run, (seconds, accuracy)
    seconds, accuracy = np.median(epochs, axis=1).T
    lowest, highest = epochs[..., 1].min(axis=1), epochs[..., 1].max(axis=1)
    look = style(contender)
    axes.fill_between(seconds, lowest, highest, color=look["color"], alpha=0.15, linewidth=0)
    axes.plot(seconds, accuracy, markersize=4, linewidth=1.2, markevery=ceil(len(epochs) / MARKS), **look, **how)


def frame(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.tick_params(labelsize=8)
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def legend() -> list[Line2D]:
    lines = [Line2D([], [], label=name, **style(contender)) for contender, name in NAMES.items()]
    cached = Line2D([], [], color=GREY, linestyle=":", marker="o", markerfacecolor="white", label="features cached")
    return [*lines, cached]
