"""Images beside heatmaps of the evidence for their classes, as one PNG."""

from pathlib import Path
from textwrap import wrap
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

# Pixels. A tile is a whole multiple of a 32-pixel image, and the large one of 64, so the image's pixels stay square.
TILE, SMALL_TILE = 128, 96
GAP = 28  # between pictures
SEAM = 4  # between the tiles of one picture
HEADING, LINE, TITLE, CAPTION = 52, 20, 28, 24  # heights of lines of text
CHARACTER = 8  # width of a character under the heading, rounded up
WIDTH = 1080  # at most

COLOURS = "inferno"  # its lightness rises evenly, so it is readable without colour vision
OPACITY = 0.75  # of the colour at heat 1
DPI = 100


class Picture(NamedTuple):
    """A title above tiles, uint8 (H, W, 3), side by side, each above its caption."""

    title: str
    tiles: list[tuple[str, np.ndarray]]


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The image in grey at heat 0, and the more coloured the hotter: uint8 (H, W, 3)."""
    grey = np.asarray(Image.fromarray(image).convert("L"))[..., None] / 255
    colour = matplotlib.colormaps[COLOURS](heat)[..., :3]
    opacity = OPACITY * heat[..., None]
    blended: np.ndarray = np.round(255 * ((1 - opacity) * grey + opacity * colour))
    return blended.astype(np.uint8)


def draw_gallery(path: Path, heading: str, explanation: str, pictures: list[Picture]) -> None:
    """Draw each picture enlarged, in as many columns as fit. explanation: wrapped under the heading.

    Tiles are small where large ones leave room for one column.
    """
    tiles = max((len(picture.tiles) for picture in pictures), default=2)
    tile = TILE if GAP + 2 * _strip(tiles, TILE) <= WIDTH else SMALL_TILE
    block = _strip(tiles, tile), TITLE + tile + CAPTION + GAP // 2
    columns = max((WIDTH - GAP) // block[0], 1)
    rows = -(-len(pictures) // columns)
    width = GAP + columns * block[0]
    lines = wrap(explanation, (width - 2 * GAP) // CHARACTER)
    top = HEADING + LINE * len(lines)
    height = top + rows * block[1] + GAP // 2
    canvas = np.full((height, width, 3), 255, dtype=np.uint8)
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)

    def write(x: float, y: float, text: str, size: float, **style: Any) -> None:
        figure.text(x / width, 1 - y / height, text, fontsize=size * 72 / DPI, va="center", parse_math=False, **style)

    write(GAP, GAP, heading if pictures else f"{heading}: there are none", 19, weight="bold")
    for number, line in enumerate(lines):
        write(GAP, HEADING + LINE * number, line, 14, color="0.35")
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        x, y = GAP + column * block[0], top + row * block[1] + TITLE
        write(x, y - TITLE / 2, picture.title, 15)
        for caption, image in picture.tiles:
            canvas[y : y + tile, x : x + tile] = _enlarged(image, tile)
            write(x + tile / 2, y + tile + CAPTION / 2, caption, 12, color="0.35", ha="center")
            x += tile + SEAM
    figure.figimage(canvas)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})


def _strip(tiles: int, tile: int) -> int:
    """Width of a picture of so many tiles, with the gap behind it."""
    return tiles * (tile + SEAM) - SEAM + GAP


def _enlarged(image: np.ndarray, side: int) -> np.ndarray:
    how = Image.Resampling.LANCZOS if side % len(image) else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(image).resize((side, side), how))
