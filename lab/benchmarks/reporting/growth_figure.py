"""The picture of growth: seconds and memory by images and by pixels, on logarithmic axes, beside a straight line."""

from itertools import cycle

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from study.reporting.figures import COLOURS, GREY, MARKERS, TEXT

NAMES = {"features": "features, one view", "layer4": "an epoch of layer4", "full": "an epoch of full"}


def growth_figure(rows: pd.DataFrame) -> Figure:
    """rows: images, image_size, part, seconds and own_mb; medians of the runs are drawn."""
    by_images = rows[rows["image_size"] == (smallest := rows["image_size"].min())]
    by_pixels = rows[rows["images"] == (fewest := rows["images"].min())]
    figure = Figure(figsize=(9.3, 6.8), layout="constrained")
    panels = figure.subplots(2, 2, sharey="row")
    for (above, below), column, chosen in zip(panels.T, ("images", "image_size"), (by_images, by_pixels), strict=True):
        places = sorted(chosen[column].unique())
        draw(above, chosen, column, "seconds")
        draw(below, chosen, column, "own_mb")
        for axes in (above, below):
            frame(axes, places)
        straight(above, places, 1 if column == "images" else 2)
    panels[0, 0].set_title(f"Twice the images, twice the time?\nat {smallest} px", fontsize=11)
    panels[0, 1].set_title(f"Twice the pixels, twice the time?\n{fewest:,} images", fontsize=11)
    panels[0, 0].set_ylabel("seconds", **TEXT)
    panels[1, 0].set_ylabel("megabytes of its own at the highest", **TEXT)
    panels[1, 0].set_xlabel("training images", **TEXT)
    panels[1, 1].set_xlabel("pixels a side", **TEXT)
    figure.legend(handles=legend(), loc="outside lower center", ncols=3, frameon=False, **TEXT)
    return figure


def draw(axes: Axes, rows: pd.DataFrame, column: str, measure: str) -> None:
    for part, colour, marker in zip(NAMES, cycle(COLOURS), cycle(MARKERS), strict=False):
        medians = rows[rows["part"] == part].dropna(subset=measure).groupby(column)[measure].median()
        axes.plot(medians.index, medians, color=colour, marker=marker, markersize=5, zorder=3)


def straight(axes: Axes, places: list[int], power: int) -> None:
    """What growth in proportion to the images, or to the side squared, looks like, through each first point."""
    for line in axes.get_lines():
        _, first = line.get_xydata()[0]
        proportional = [first * (place / places[0]) ** power for place in places]
        axes.plot(places, proportional, color=GREY, linestyle=":", linewidth=1)


def frame(axes: Axes, places: list[int]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(places, [f"{place:,}" for place in places])
    axes.set_xticks([], minor=True)
    axes.tick_params(labelsize=8)
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def legend() -> list[Line2D]:
    return [
        *(
            Line2D([], [], color=colour, marker=marker, label=name)
            for name, colour, marker in zip(NAMES.values(), cycle(COLOURS), cycle(MARKERS), strict=False)
        ),
        Line2D([], [], color=GREY, linestyle=":", label="in proportion to the first point"),
    ]
