"""The pictures of what helps under corruption: adapted batch-norm statistics, and networks between `fc` and `full`."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from study.evaluation.robustness import counted
from study.reporting.figures import GREY, TEXT, columns, frame, styles

HOLLOW: dict[str, Any] = {"markerfacecolor": "white"}
SERIES = {"accuracy": "clean", "corrupted_accuracy": "corrupted", "held_out_accuracy": "held-out corruptions"}
NAMED = {"ece": "clean", "corrupted_ece": "corrupted", "held_out_ece": "held-out corruptions"}


def adaptation_figure(adaptation: pd.DataFrame) -> Figure:
    """Accuracy without adaptation and with it: by variant, by batch size at the highest severity, and by corruption.

    adaptation: variant, corruption, group, severity, batch_size (0 is no adaptation) and accuracy. Means are over the
    conditions that count.
    """
    variants = list(adaptation["variant"].unique())
    looks = styles(variants)
    conditions, largest = counted(adaptation), adaptation["batch_size"].max()
    figure = Figure(figsize=(9.3, 5.4), layout="constrained")
    whole = figure.add_gridspec(2, 2, width_ratios=(1, 1.1))
    by_variant, by_size, by_corruption = (figure.add_subplot(part) for part in (whole[0, 0], whole[1, 0], whole[:, 1]))

    means = conditions.groupby(["variant", "batch_size"])["accuracy"].mean()
    for place, variant in enumerate(variants):
        colour = looks[variant]["color"]
        before, after = means[variant, 0], means[variant, largest]
        by_variant.plot([before, after], [place, place], color=colour, linewidth=1)
        by_variant.plot(before, place, color=colour, marker="o", markersize=7, **HOLLOW)
        by_variant.plot(after, place, color=colour, marker="o", markersize=7)
    by_variant.set_yticks(range(len(variants)), variants, **TEXT)
    by_variant.invert_yaxis()
    by_variant.margins(0.15)
    by_variant.set_title("accuracy under corruption", fontsize=11)
    ends = [Line2D([], [], color=GREY, marker="o", linestyle="none", label="learned statistics", **HOLLOW)]
    ends += [Line2D([], [], color=GREY, marker="o", linestyle="none", label=f"adapted, {largest} images at a time")]

    severe = conditions[conditions["severity"] == conditions["severity"].max()]
    means = severe.groupby(["variant", "batch_size"])["accuracy"].mean()
    for variant, style in looks.items():
        sizes = means[variant].drop(0)
        by_size.plot(sizes.index, sizes, markersize=5, label=variant, **style)
        by_size.axhline(means[variant, 0], color=style["color"], linestyle=":", linewidth=1.2)
    by_size.set_xscale("log")
    by_size.set_xticks(sizes.index, [f"{size:,}" for size in sizes.index])
    by_size.set_xticks([], minor=True)
    by_size.set_xlabel("images at a time (dotted: learned statistics)", **TEXT)
    by_size.set_title(f"at severity {severe['severity'].max()}", fontsize=11)

    corrupted = adaptation[adaptation["severity"] > 0]
    table = corrupted.pivot_table("accuracy", ["variant", "corruption"], "batch_size")
    change = (table[largest] - table[0]).unstack("variant").mul(100)
    change = change.loc[change.mean(axis=1).sort_values().index]
    for variant, style in looks.items():
        by_corruption.plot(change[variant], range(len(change)), linestyle="none", label=variant, **style)
    by_corruption.axvline(0, color=GREY, linewidth=1)
    by_corruption.set_yticks(range(len(change)), [name.replace("_", " ") for name in change.index], fontsize=8)
    by_corruption.set_title("change by adaptation, points of accuracy", fontsize=11)
    marks, _ = by_corruption.get_legend_handles_labels()
    handles = [*marks, *ends]
    figure.legend(handles=handles, loc="outside lower center", ncols=columns(len(handles), 6), frameon=False, **TEXT)
    for axes in (by_variant, by_size, by_corruption):
        frame(axes)
    return figure


def interpolation_figure(interpolation: pd.DataFrame) -> Figure:
    """Accuracy and ECE along the straight line from `fc` to `full` in weight space.

    interpolation: share (of `full`), and the columns of SERIES and NAMED; those held out may be missing.
    """
    figure = Figure(figsize=(9.3, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, series in ((left, SERIES), (right, NAMED)):
        shown = {column: name for column, name in series.items() if column in interpolation}
        for column, style in styles(shown).items():
            axes.plot(interpolation["share"], interpolation[column], label=shown[column], markersize=5, **style)
        axes.set_xticks(interpolation["share"], [_place(share) for share in interpolation["share"]])
        axes.set_xlabel("weight of full", **TEXT)
        axes.legend(fontsize=8, frameon=False)
        frame(axes)
    left.set_title("accuracy", fontsize=11)
    right.set_title("expected calibration error", fontsize=11)
    right.set_ylim(bottom=0)
    return figure


def _place(share: float) -> str:
    return {0.0: "fc", 1.0: "full"}.get(share, f"{share:g}")
