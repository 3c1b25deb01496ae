"""The picture of wrong test labels: the images, what five people judged, and what a variant answers."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

COLUMNS = 6
DPI = 120  # figures are saved at
# Pixels. A tile is a whole multiple of a 32-pixel image, so the image's pixels stay square.
TILE, GAP = 160, 26
HEADING, LINE, APART = 92, 19, 22  # heights: of the heading, of a line below an image, between rows
GREY, OTHER = "#666666", "#D55E00"
JUDGES = 5


def label_errors_figure(images: np.ndarray, table: pd.DataFrame, variant: str, most: int = 12) -> Figure:
    """The first `most` images of `table`, each above the three lines of `caption`.

    images: uint8 (N, H, W, 3), the test split; table: results/label_errors/images.csv, whose `row` is in [0, N). An
    empty table gives a heading and no image.
    """
    shown = table[:most]
    rows = -(-len(shown) // COLUMNS)
    width, below = COLUMNS * (TILE + GAP) + GAP, 3 * LINE + APART
    height = HEADING + rows * (TILE + below)
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)

    def write(x: float, y: float, text: str, size: float, **style: Any) -> None:
        figure.text(x / width, 1 - y / height, text, fontsize=size, va="center", parse_math=False, **style)

    title, *explanation = heading(len(shown), len(table), variant)
    write(GAP, 20, title, 12, weight="bold")
    for line, text in enumerate(explanation):
        write(GAP, 46 + 20 * line, text, 9, color=GREY)
    for place, image in enumerate(shown.to_dict("records")):
        down, right = divmod(place, COLUMNS)
        left, top = GAP + right * (TILE + GAP), HEADING + down * (TILE + below)
        axes = figure.add_axes((left / width, 1 - (top + TILE) / height, TILE / width, TILE / height))
        axes.imshow(images[image["row"]], interpolation="nearest")
        axes.set_axis_off()
        contradicts = image[f"{variant}_predicted"] != image["given"]
        *votes, answer = caption(image, variant)
        lines = [*((text, "black", "normal") for text in votes), (answer, OTHER if contradicts else "black", "bold")]
        for line, (text, color, weight) in enumerate(lines):
            middle = top + TILE + LINE * (line + 0.8)
            write(left + TILE / 2, middle, text, 8, ha="center", color=color, weight=weight)
    return figure


def heading(shown: int, wrong: int, variant: str) -> list[str]:
    """A title and two lines of explanation; the title alone if there is nothing to show."""
    if not shown:
        return ["No wrong labels are known among the test images"]
    return [
        f"Wrong labels among the test images: {shown} of {wrong}, those in most doubt",
        f"Below each: its label and the commonest other judgement, with how many of {JUDGES} people chose it; "
        f"the answer of {variant}, in colour",
        "where it contradicts the label. The labels that all variants together contradict most confidently come first.",
    ]


def caption(image: Mapping[Hashable, Any], variant: str) -> list[str]:
    """Three lines: the label and its votes, the commonest other judgement and its votes, the variant's answer.

    image: a row of results/label_errors/images.csv. Between equal votes the suggested class comes before "both" and
    "neither".
    """
    others = {image["suggested"]: "judges_suggested", "both": "judges_both", "neither": "judges_neither"}
    votes = {name: image[column] for name, column in others.items()}
    other = max(votes, key=lambda name: votes[name])
    return [
        f"label: {image['given']}, {image['judges_given']} of {JUDGES}",
        f"judges: {other}, {votes[other]} of {JUDGES}",
        f"{variant}: {image[f'{variant}_predicted']}, {100 * image[f'{variant}_confidence']:.0f} %",
    ]
