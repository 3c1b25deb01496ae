"""The pictures of what goes beyond confidence: prediction sets, withheld answers, and images of none of the classes."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from study.evaluation.robustness import counted
from study.reporting.figures import GREY, TEXT, columns, frame, styles
from study.reporting.formats import level

SCORES = {  # of study.ood, as the figure names them
    "maximum_probability": "probability",
    "maximum_logit": "logit",
    "energy": "energy",
    "mahalanobis": "Mahalanobis",
    "nearest_neighbour": "nearest neighbour",
}


def conformal_figure(sets: pd.DataFrame, answers: pd.DataFrame) -> Figure:
    """By severity, means over the conditions that count: coverage and size of LAC sets, and errors among answers.

    sets: variant, corruption, group, severity, score, target, coverage and size; answers: variant, corruption, group,
    severity, target, answered and wrong. Shown are the highest target of either.
    """
    sets = sets[(sets["score"] == "lac") & (sets["target"] == sets["target"].max())]
    answers = answers[answers["target"] == answers["target"].max()]
    covered, allowed = sets["target"].iloc[0], answers["target"].iloc[0]
    figure = Figure(figsize=(9.3, 3.9), layout="constrained")
    panels = figure.subplots(1, 3)
    contents = (
        (sets, "coverage", f"share of sets for {level(covered)}\nthat hold the right class", covered),
        (sets, "size", "classes in such a set\n", None),
        (answers, "wrong", f"errors among the answers,\nwhere {level(allowed)} are allowed", allowed),
    )
    for axes, (table, column, title, promised) in zip(panels, contents, strict=True):
        for variant, style in styles(table["variant"].unique()).items():
            rows = table[table["variant"] == variant]
            means = pd.concat([rows[rows["severity"] == 0], counted(rows)]).groupby("severity")[column].mean()
            axes.plot(means.index, means, markersize=5, label=variant, **style)
        if promised is not None:
            axes.axhline(promised, color=GREY, linestyle="--", linewidth=1.2)
        axes.set_title(title, fontsize=10)
        axes.set_xticks(sorted(table["severity"].unique()), ["clean", *sorted(table["severity"].unique())[1:]])
        axes.set_xlabel("severity of corruption", **TEXT)
        frame(axes)
    lines, _ = panels[0].get_legend_handles_labels()
    promise = Line2D([], [], color=GREY, linestyle="--", linewidth=1.2, label="promised for images like the training's")
    handles = [*lines, promise]
    figure.legend(handles=handles, loc="outside lower center", ncols=columns(len(handles), 5), frameon=False, **TEXT)
    return figure


def ood_figure(scores: pd.DataFrame) -> Figure:
    """A panel per set of images outside the classes: how well each score tells them from test images, by variant.

    scores: variant, set, score and auroc, where 0.5 is chance and 1 is perfect.
    """
    sets, variants = list(scores["set"].unique()), list(scores["variant"].unique())
    names = [score for score in SCORES if score in set(scores["score"])]
    apart = min(0.15, 0.75 / len(variants))  # of the distance between two scores
    figure = Figure(figsize=(9.3, 1.6 + 2.1 * -(-len(sets) // 2)), layout="constrained")
    panels = figure.subplots(-(-len(sets) // 2), 2, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, of in zip(panels, sets, strict=False):
        rows = scores[scores["set"] == of].set_index(["variant", "score"])["auroc"]
        for place, (variant, style) in enumerate(styles(variants).items()):
            heights = [line + apart * (place - (len(variants) - 1) / 2) for line in range(len(names))]
            reached = [rows[variant, name] for name in names]
            axes.plot(reached, heights, markersize=5, linestyle="none", label=variant, **style)
        axes.axvline(0.5, color=GREY, linestyle=":", linewidth=1.2)
        axes.set_yticks(range(len(names)), [SCORES[name] for name in names])
        axes.set_title(of.replace("_", " "), fontsize=10, parse_math=False)
        frame(axes)
    panels[0].invert_yaxis()
    for axes in panels[len(sets) :]:
        axes.set_axis_off()
    for axes in panels[max(0, len(sets) - 2) : len(sets)]:
        axes.set_xlabel("AUROC (0.5: chance)", **TEXT)
        axes.tick_params(labelbottom=True)
    marks, _ = panels[0].get_legend_handles_labels()
    figure.legend(handles=marks, loc="outside lower center", ncols=columns(len(marks), 8), frameon=False, **TEXT)
    return figure
