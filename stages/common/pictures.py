"""Pictures of the data: samples of each class, augmented views, and how many images each class has."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

ZOOM = 2  # screen pixels for each pixel of an image, so that it can be seen
GAP = 4  # screen pixels between images
LABELS = 96  # width of the column of class names, screen pixels
HEADS = 24  # height of the line of column heads, screen pixels
FONT = ImageFont.load_default(14)


def sample_grid(images: np.ndarray, labels: np.ndarray, classes: list[str], per_class: int = 10) -> Image.Image:
    """The first images of each class, one row a class. images: uint8 (N, H, W, 3); labels: int64 (N,)."""
    rows = [images[labels == label][:per_class] for label in range(len(classes))]
    return _grid(rows, classes)


def augmented_views(
    images: np.ndarray,
    labels: np.ndarray,
    classes: list[str],
    augment: Callable[[np.ndarray], np.ndarray],
    views: int = 5,
) -> Image.Image:
    """Each image, one a row, then `views` draws of `augment`, which maps uint8 (N, H, W, 3) to the same."""
    rows = np.stack([images, *(augment(images) for _ in range(views))], axis=1)
    heads = ["image", *(f"view {number}" for number in range(1, views + 1))]
    return _grid(list(rows), [classes[label] for label in labels], heads)


def class_counts(labels: dict[str, np.ndarray], classes: list[str]) -> list[dict[str, str | int]]:
    """Rows (split, class, count) from each split's labels, int64 (N,)."""
    return [
        {"split": split, "class": name, "count": int(count)}
        for split, values in labels.items()
        for name, count in zip(classes, np.bincount(values, minlength=len(classes)), strict=True)
    ]


def class_distribution(labels: dict[str, np.ndarray], classes: list[str]) -> Figure:
    """The counts as bars, one panel a split."""
    figure = Figure(figsize=(9, 3), layout="constrained")
    panels = figure.subplots(1, len(labels), sharey=True)
    for axes, (split, values) in zip(panels, labels.items(), strict=True):
        bars = axes.barh(classes, np.bincount(values, minlength=len(classes)))
        axes.bar_label(bars, padding=2, fontsize=8)
        axes.set(title=f"{split}: {len(values)} images", xlabel="images")
        axes.margins(x=0.2)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].invert_yaxis()  # the panels share it
    return figure


def _grid(rows: list[np.ndarray], names: list[str], heads: Sequence[str] = ()) -> Image.Image:
    """Rows of images, each uint8 (n, H, W, 3) with its name on the left, and the columns' heads above."""
    height, width = (ZOOM * side for side in rows[0].shape[1:3])
    columns = max(len(row) for row in rows)
    above = HEADS if heads else GAP
    canvas = Image.new("RGB", (LABELS + columns * (width + GAP), above + len(rows) * (height + GAP)), "white")
    draw = ImageDraw.Draw(canvas)
    for column, head in enumerate(heads):
        draw.text((LABELS + column * (width + GAP) + width / 2, above / 2), head, "black", FONT, anchor="mm")
    for row, (images, name) in enumerate(zip(rows, names, strict=True)):
        top = above + row * (height + GAP)
        draw.text((LABELS - 2 * GAP, top + height / 2), name, "black", FONT, anchor="rm")
        for column, image in enumerate(images):
            picture = Image.fromarray(image).resize((width, height), Image.Resampling.NEAREST)
            canvas.paste(picture, (LABELS + column * (width + GAP), top))
    return canvas
