"""Pictures of the data: samples of each class, augmented views, and class counts."""

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from study.drawing.labels import short

TILE = 64  # largest side of an image on screen, in pixels; small ones are enlarged by a whole number
GAP = 4  # screen pixels between images
LABELS = 96  # smallest width of the column of class names, screen pixels
LONGEST = 24  # characters; a longer class name is shortened
LINES = 10  # classes that fit the figure of counts; it grows with more
HEADS = 24  # height of the column heads, screen pixels
FONT = ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", 13)  # covers more alphabets
NEAREST, LANCZOS = Image.Resampling.NEAREST, Image.Resampling.LANCZOS


def sample_grid(images: np.ndarray, labels: np.ndarray, classes: list[str], per_class: int = 10) -> Image.Image:
    """The first images of each class, a row per class. images: uint8 (N, H, W, 3); labels: int64 (N,)."""
    rows = [images[labels == label][:per_class] for label in range(len(classes))]
    return _grid(rows, classes)


def augmentation_grid(
    images: np.ndarray,
    labels: np.ndarray,
    classes: list[str],
    augment: Callable[[np.ndarray], np.ndarray],
    views: int = 5,
) -> Image.Image:
    """A row per image: the image, then `views` draws of `augment`, which maps uint8 (N, H, W, 3) to the same."""
    rows = np.stack([images, *(augment(images) for _ in range(views))], axis=1)
    heads = ["image", *(f"view {number}" for number in range(1, views + 1))]
    return _grid(list(rows), [classes[label] for label in labels], heads)


def class_distribution(labels: dict[str, np.ndarray], classes: list[str]) -> Figure:
    """Class counts as bars, a panel per split."""
    names = [short(name, LONGEST) for name in classes]
    figure = Figure(figsize=(9, 1 + 2 * max(len(classes), LINES) / LINES), layout="constrained")
    panels = figure.subplots(1, len(labels), sharey=True)
    for axes, (split, values) in zip(panels, labels.items(), strict=True):
        bars = axes.barh(range(len(classes)), np.bincount(values, minlength=len(classes)))
        axes.bar_label(bars, padding=2, fontsize=8)
        axes.set(title=f"{split}: {len(values)} images", xlabel="images")
        axes.margins(x=0.2)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(classes)), names, parse_math=False)
    panels[0].set_ylim(len(classes) - 0.5, -0.5)  # the panels share the axis
    return figure


def _grid(rows: list[np.ndarray], names: list[str], heads: Sequence[str] = ()) -> Image.Image:
    """Rows of images, uint8 (n, H, W, 3), with names on the left and column heads above."""
    height, width = _shown_size(*rows[0].shape[1:3])
    names = [short(name, LONGEST) for name in names]
    labels = max([LABELS, *(round(FONT.getlength(name)) + 3 * GAP for name in names)])
    columns = max(len(row) for row in rows)
    above = HEADS if heads else GAP
    canvas = Image.new("RGB", (labels + columns * (width + GAP), above + len(rows) * (height + GAP)), "white")
    draw = ImageDraw.Draw(canvas)
    for column, head in enumerate(heads):
        draw.text((labels + column * (width + GAP) + width / 2, above / 2), head, "black", FONT, anchor="mm")
    for row, (images, name) in enumerate(zip(rows, names, strict=True)):
        top = above + row * (height + GAP)
        draw.text((labels - 2 * GAP, top + height / 2), name, "black", FONT, anchor="rm")
        for column, image in enumerate(images):
            picture = Image.fromarray(image)
            picture = picture.resize((width, height), NEAREST if width >= picture.width else LANCZOS)
            canvas.paste(picture, (labels + column * (width + GAP), top))
    return canvas


def _shown_size(height: int, width: int) -> tuple[int, int]:
    longer = max(height, width)
    if longer <= TILE:
        return TILE // longer * height, TILE // longer * width
    return round(TILE / longer * height), round(TILE / longer * width)
