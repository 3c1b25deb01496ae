"""The pictures that README and the model card show: how honest the probabilities are, and what corruption costs.

And what they share with the others: a colour and a marker for each series, and how a figure becomes a picture.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from io import BytesIO
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from PIL import Image

from study.reporting.formats import percent

# Of series, by their place: Okabe and Ito's orange, blues, green and black, and darker kinds of their pink and red.
# Those themselves look like the green and the orange without the eye's cones for green (deuteranopia).
COLOURS = ("#E69F00", "#0072B2", "#009E73", "#6B1A55", "#B9601A", "#87BAD7", "#000000", "#704625")
COLOURS_ON_DARK = ("#E69F00", "#56B4E9", "#009E73", "#FFC4E6", "#F4EC7A", "#295E7C", "#954200", "#FFEABD")
MARKERS = ("o", "s", "^", "D", "v", "P", ">")  # one fewer, so that a colour that comes again has another marker
ACCURACY, OVER, UNDER, SHARE = "#A6CBE3", "#D55E00", "#009E73", "#3B3B3B"
GREY = "#666666"
ACCURACIES, ERRORS = "YlGnBu_r", "Oranges"  # colour maps: the darker the worse
RARE = 0.01  # share of the images below which a bin says little
PALE = 0.3
TEXT: dict[str, Any] = {"fontsize": 9}
FAMILIES = {  # of CIFAR-10-C
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "gaussian_blur"),
    "weather": ("snow", "frost", "fog", "brightness", "spatter"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression", "saturate"),
}
OTHERS = {"own": "own", "held_out": "held out", "benchmark": "other", "extra": "other"}  # by group


def styles(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The `color` and `marker` of each series, by its place."""
    looks = zip(cycle(COLOURS), cycle(MARKERS), strict=False)
    return {name: {"color": colour, "marker": marker} for name, (colour, marker) in zip(names, looks, strict=False)}


def columns(panels: int, most: int = 4) -> int:
    """How many panels to set in a line, so that the lines are about equally full.

    >>> columns(4), columns(5), columns(7)
    (4, 3, 4)
    """
    return -(-panels // -(-panels // most))


def reliability_figure(reliability: pd.DataFrame, calibration: Mapping[str, Mapping[str, Any]]) -> Figure:
    """A panel per variant, before scaling above after: accuracy in each bin against its mean confidence.

    reliability: variant, calibration (before, after), bin_lower, bin_upper, confidence, accuracy and count; a bin whose
    count is 0 is not drawn. calibration: of each variant, before and after, its `ece` and the `null` band of it.
    """
    variants = list(reliability["variant"].unique())
    wide = columns(len(variants))
    lines = [variants[start : start + wide] for start in range(0, len(variants), wide)]
    figure = Figure(figsize=(2.9 * wide + 0.6, 5.8 * len(lines) + 0.6), layout="constrained")
    panels = figure.subplots(2 * len(lines), wide, sharex=True, sharey=True, squeeze=False)
    for place, line in enumerate(lines):
        for side, row in zip(("before", "after"), panels[2 * place : 2 * place + 2], strict=True):
            row[0].set_ylabel(f"{side} scaling\naccuracy", **TEXT)
            for panel, variant in zip(row, line, strict=False):
                bins = reliability[(reliability["variant"] == variant) & (reliability["calibration"] == side)]
                draw_reliability(panel, bins[bins["count"] > 0])
                scores = calibration[variant][side]
                chance = scores["null"]["ece"]
                panel.set_title(f"{variant}: ECE {scores['ece']:.4f}", fontsize=10, weight="bold", pad=17)
                text = f"by chance alone {chance['mean']:.4f}, rarely above {chance['upper']:.4f}"
                panel.text(0.5, 1.02, text, transform=panel.transAxes, ha="center", va="bottom", color=GREY, fontsize=8)
            for panel in row[len(line) :]:
                panel.set_axis_off()
        for panel in row[: len(line)]:
            panel.set_xlabel("confidence", **TEXT)
            panel.tick_params(labelbottom=True)
    legend = [
        Patch(color=ACCURACY, label="accuracy"),
        Patch(facecolor="none", edgecolor=OVER, hatch="/////", label="over-confident by"),
        Patch(facecolor="none", edgecolor=UNDER, hatch="....", label="under-confident by"),
        Patch(color=SHARE, label="share of the test images"),
        Patch(color=ACCURACY, alpha=PALE, label=f"pale: fewer than {100 * RARE:.0f} % of them"),
    ]
    figure.legend(handles=legend, loc="outside lower center", ncols=3, frameon=False, **TEXT)
    return figure


def draw_reliability(axes: Axes, bins: pd.DataFrame) -> None:
    """Accuracy as bars, the gap to the mean confidence hatched, the share of the images as thin bars; all in [0, 1]."""
    total = bins["count"].sum()
    for _, row in bins.iterrows():
        lower, upper, accuracy, confidence = row[["bin_lower", "bin_upper", "accuracy", "confidence"]]
        share = row["count"] / total
        middle, width, alpha = (lower + upper) / 2, upper - lower, PALE if share < RARE else 1
        edge, hatch = (OVER, "/////") if confidence > accuracy else (UNDER, "....")
        axes.bar(middle, accuracy, width, color=ACCURACY, edgecolor="white", linewidth=0.6, alpha=alpha)
        gap: dict[str, Any] = {"facecolor": "none", "edgecolor": edge, "hatch": hatch, "linewidth": 0, "alpha": alpha}
        axes.bar(middle, confidence - accuracy, width, accuracy, **gap)
        axes.bar(middle, share, 0.3 * width, color=SHARE)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.tick_params(labelsize=8)


def corruption_figure(robustness: Mapping[str, Mapping[str, Any]]) -> Figure:
    """By severity: accuracy, ECE before scaling, and ECE after it beside what chance alone gives on average.

    robustness: metrics/robustness.json. Severity 0 is the clean images.
    """
    severities = [int(severity) for severity in next(iter(robustness.values()))["by_severity"]]
    figure = Figure(figsize=(9.3, 3.5 + 0.19 * len(robustness)), layout="constrained")
    accuracy, before, after = figure.subplots(1, 3)
    before.sharey(after)
    panels: tuple[tuple[Axes, str, str, Callable[[float], str]], ...] = (
        (accuracy, "accuracy", "accuracy\n", partial(percent, decimals=1)),
        (before, "ece_before", "expected calibration error,\nbefore scaling", "{:.3f}".format),
        (after, "ece_after", "expected calibration error,\nafter scaling", "{:.3f}".format),
    )
    for axes, measure, title, show in panels:
        for variant, style in styles(robustness).items():
            curve = list(robustness[variant]["by_severity"].values())
            name = f"{variant}: {show(robustness[variant]['corrupted'][measure])}"
            looks: dict[str, Any] = {"markersize": 5, "clip_on": False, "zorder": 3, **style}
            axes.plot(severities, [at[measure] for at in curve], label=name, **looks)
            if axes is after:
                chance = [at["ece_null_mean"] for at in curve]
                axes.plot(severities, chance, color=style["color"], linestyle=":", linewidth=1)
        axes.set_title(title, fontsize=10)
        axes.set_xticks(severities, ["clean" if severity == 0 else str(severity) for severity in severities])
        axes.set_xlabel("severity of corruption", **TEXT)
        axes.tick_params(labelsize=8)
        axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(
            title="mean under corruption",
            title_fontsize=8,
            fontsize=8,
            frameon=False,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.2),
        )
    accuracy.set_ylim(0, 1)
    before.set_ylim(bottom=0)
    dotted = Line2D([], [], color=GREY, linestyle=":", linewidth=1, label="by chance alone, on average")
    figure.legend(handles=[dotted], loc="outside lower right", frameon=False, **TEXT)
    return figure


def corruption_map_figure(conditions: pd.DataFrame) -> Figure:
    """A panel per variant, accuracy above ECE after scaling: a cell per corruption and severity, with its number.

    conditions: variant, corruption, group, severity, accuracy, ece_after, ece_null_upper. A cell whose ECE chance alone
    may give stays white. A line divides the groups of corruptions.
    """
    conditions = conditions[conditions["severity"] > 0]
    groups = dict(zip(conditions["corruption"], conditions["group"], strict=True))
    names = sorted(groups, key=lambda name: ("benchmark", "extra", "own", "held_out").index(groups[name]))
    severities = sorted(conditions["severity"].unique())
    cells = {
        str(variant): rows.pivot(index="corruption", columns="severity").loc[names]
        for variant, rows in conditions.groupby("variant", sort=False)
    }
    figure = Figure(figsize=(max(9.3, 1.3 + 1.9 * len(cells)), 1.6 + 0.46 * len(names)), layout="constrained")
    panels = figure.subplots(2, len(cells), sharex=True, sharey=True, squeeze=False)
    highest = conditions["ece_after"].max()
    for line, (measure, title, colours, top) in zip(
        panels,
        (("accuracy", "accuracy, %", ACCURACIES, 1.0), ("ece_after", "ECE after scaling, %", ERRORS, highest)),
        strict=True,
    ):
        for panel, (variant, of) in zip(line, cells.items(), strict=True):
            values, chance = (of[column][severities].to_numpy() for column in (measure, "ece_null_upper"))
            shown = np.ma.masked_where(values <= chance, values) if measure == "ece_after" else values
            image = panel.imshow(shown, cmap=colours, vmin=0, vmax=top, aspect="auto")
            for (down, right), value in np.ndenumerate(values):
                light = np.ma.is_masked(shown[down, right]) or np.mean(image.to_rgba(value)[:3]) > 0.5
                text = {"ha": "center", "va": "center", "fontsize": 8, "color": "black" if light else "white"}
                panel.text(right, down, f"{100 * value:.{0 if measure == 'accuracy' else 1}f}", **text)
            panel.set_title(f"{variant}\n{title}", fontsize=10, weight="bold")
            panel.set_yticks(range(len(names)), [name.replace("_", " ") for name in names], fontsize=8)
            panel.set_xticks(range(len(severities)), severities, fontsize=8)
            panel.tick_params(length=0)
            for down in range(1, len(names)):
                if groups[names[down]] != groups[names[down - 1]]:
                    panel.axhline(down - 0.5, color="black", linewidth=1.2)
    for panel in panels[1]:
        panel.set_xlabel("severity", **TEXT)
    present = dict.fromkeys(groups[name] for name in names)
    titles = {
        "benchmark": "the benchmark's, which count in the means",
        "extra": "its extra ones",
        "own": "the study's own",
        "held_out": "CIFAR-10-C-bar's, held out",
    }
    figure.supxlabel(
        f"From the top: {'; '.join(titles[group] for group in present)}.\nWhite: chance alone may give that ECE.",
        fontsize=9,
    )
    return figure


def by_corruption_figure(
    robustness: Mapping[str, Mapping[str, Any]], published: Mapping[str, Mapping[str, Any]]
) -> Figure:
    """A line per corruption: the accuracy of each variant, and in grey what others published of their models.

    robustness: metrics/robustness.json; published: of study.reporting.published. Means over the severities. Families of
    corruptions stand together; in each, the corruption that costs the variants least comes first.
    """
    measured = [scores["by_corruption"] for scores in robustness.values()]
    families = {name: family(name, scores["group"]) for name, scores in measured[0].items()}
    order = [*FAMILIES, *OTHERS.values()]
    names = sorted(
        families, key=lambda name: (order.index(families[name]), -sum(of[name]["accuracy"] for of in measured))
    )
    lines = [place + 0.7 * order.index(families[name]) for place, name in enumerate(names)]
    figure = Figure(figsize=(9.3, 1.3 + 0.26 * (lines[-1] + 1)), layout="constrained")
    axes = figure.subplots()
    for (model, scores), marker in zip(published.items(), ("|", "x"), strict=False):
        places = [scores["by_corruption"].get(name) for name in names]
        mark: dict[str, Any] = {"marker": marker, "markersize": 9, "markeredgewidth": 1.8, "color": GREY}
        axes.plot(places, lines, linestyle="none", label=f"published: {model}", **mark)
    for variant, style in styles(robustness).items():
        places = [robustness[variant]["by_corruption"][name]["accuracy"] for name in names]
        axes.plot(places, lines, linestyle="none", markersize=6, label=variant, **style)
    axes.set_yticks(lines, [name.replace("_", " ") for name in names], **TEXT)
    axes.invert_yaxis()
    for name in dict.fromkeys(families[name] for name in names):
        first = min(line for line, of in zip(lines, names, strict=True) if families[of] == name)
        axes.text(1.01, first, name, transform=axes.get_yaxis_transform(), va="center", weight="bold", **TEXT)
    axes.set_xlabel("accuracy, mean over the severities", **TEXT)
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    wide = columns(len(published) + len(robustness), 6)
    figure.legend(loc="outside upper center", ncols=wide, frameon=False, **TEXT)
    return figure


def family(corruption: str, group: str) -> str:
    """What kind of corruption it is; of those in no family, the group."""
    return next((name for name, members in FAMILIES.items() if corruption in members), OTHERS.get(group, "other"))


def frame(axes: Axes) -> None:
    """Small ticks, a pale grid behind the marks, and no lines above and on the right."""
    axes.tick_params(labelsize=8)
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def save_png(figure: Figure, path: Path) -> None:
    """In 256 colours, a third of the size. The same figure gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    in_256_colours(rendered(figure)).save(path, "PNG", optimize=True)


def rendered(figure: Figure) -> Image.Image:
    picture = BytesIO()
    figure.savefig(picture, dpi=120)
    return Image.open(picture).convert("RGB")


def in_256_colours(picture: Image.Image) -> Image.Image:
    return picture.quantize(256, dither=Image.Dither.NONE)
