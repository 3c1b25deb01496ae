"""The picture of growth: seconds and memory by images and by pixels, on logarithmic axes, beside a straight line."""

from collections.abc import Mapping
from itertools import cycle
from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from stages.common.figures import COLOURS, GREY, MARKERS, TEXT

Row = Mapping[str, str]

NAMES = {"features": "features, one view", "layer4": "an epoch of layer4", "full": "an epoch of full"}


def growth_figure(rows: list[Row]) -> Figure:
    """rows: images, image_size, part, seconds and own_mb, as text; medians of the runs are drawn."""
    smallest = min(int(row["image_size"]) for row in rows)
    fewest = min(int(row["images"]) for row in rows)
    by_images = [row for row in rows if int(row["image_size"]) == smallest]
    by_pixels = [row for row in rows if int(row["images"]) == fewest]
    figure = Figure(figsize=(9.3, 6.8), layout="constrained")
    panels = figure.subplots(2, 2, sharey="row")
    for (above, below), column, chosen in zip(panels.T, ("images", "image_size"), (by_images, by_pixels), strict=True):
        places = sorted({int(row[column]) for row in chosen})
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


def draw(axes: Axes, rows: list[Row], column: str, measure: str) -> None:
    for part, colour, marker in zip(NAMES, cycle(COLOURS), cycle(MARKERS), strict=False):
        of_part = [row for row in rows if row["part"] == part and row[measure]]
        places = sorted({int(row[column]) for row in of_part})
        medians = [median(float(row[measure]) for row in of_part if int(row[column]) == place) for place in places]
        axes.plot(places, medians, color=colour, marker=marker, markersize=5, zorder=3)


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
