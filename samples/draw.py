"""Draw the pictures of this folder, with shapes alone: `python samples/draw.py`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 120, 96  # pixels of a picture; the sketches stay in the square in its middle
FINER = 4  # they are drawn this many times larger, then averaged down

Colour = tuple[int, int, int]
Pen = ImageDraw.ImageDraw


def backdrop(above: Colour, horizon: Colour, below: Colour, level: float) -> Image.Image:
    """Two shades that meet at `horizon` colour, then ground or water from `level` (a share of the height) down."""
    rows = np.linspace(0, 1, HEIGHT * FINER)[:, None]
    sky = np.array(above) + (np.array(horizon) - above) * (rows / level).clip(0, 1)
    ground = np.array(below) * (1.1 - 0.35 * (rows - level).clip(0, 1))
    column = np.where(rows < level, sky, ground).clip(0, 255).astype(np.uint8)
    return Image.fromarray(np.repeat(column[:, None], WIDTH * FINER, axis=1))


def scaled(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(x * FINER, y * FINER) for x, y in points]


def shape(pen: Pen, colour: str, *points: tuple[float, float]) -> None:
    pen.polygon(scaled(list(points)), fill=colour)


def round_shape(pen: Pen, colour: str, left: float, top: float, right: float, bottom: float) -> None:
    pen.ellipse(scaled([(left, top), (right, bottom)]), fill=colour)


def stroke(pen: Pen, colour: str, width: float, *points: tuple[float, float]) -> None:
    pen.line(scaled(list(points)), fill=colour, width=round(width * FINER), joint="curve")


def wheel(pen: Pen, x: float, y: float, radius: float) -> None:
    round_shape(pen, "#17171a", x - radius, y - radius, x + radius, y + radius)
    round_shape(pen, "#9a9ca2", x - radius / 2, y - radius / 2, x + radius / 2, y + radius / 2)


def ship() -> Image.Image:
    image = backdrop((120, 170, 215), (205, 222, 235), (35, 85, 120), 0.64)
    pen = ImageDraw.Draw(image)
    shape(pen, "#e9ebee", (34, 50), (90, 50), (90, 58), (34, 58))  # decks
    shape(pen, "#f5f6f7", (42, 40), (82, 40), (82, 50), (42, 50))
    shape(pen, "#dfe3e8", (50, 33), (72, 33), (72, 40), (50, 40))
    for x in range(45, 82, 6):
        shape(pen, "#33485c", (x, 43), (x + 3, 43), (x + 3, 46), (x, 46))
    shape(pen, "#b5322c", (60, 20), (69, 20), (69, 33), (60, 33))  # funnel
    shape(pen, "#22252b", (60, 20), (69, 20), (69, 24), (60, 24))
    stroke(pen, "#3a3f47", 1, (46, 40), (46, 24))  # mast
    shape(pen, "#1f2c40", (16, 57), (106, 57), (98, 72), (26, 72))  # hull
    shape(pen, "#8f2a26", (23, 68), (100, 68), (98, 72), (26, 72))
    stroke(pen, "#dfeaf0", 1.2, (10, 73), (34, 72), (60, 74), (88, 72), (112, 73))  # bow wave
    return image


def automobile() -> Image.Image:
    image = backdrop((190, 200, 210), (225, 228, 230), (110, 110, 114), 0.6)
    pen = ImageDraw.Draw(image)
    round_shape(pen, "#4c4c50", 16, 70, 106, 82)  # shadow
    shape(pen, "#b3181d", (16, 52), (30, 47), (44, 33), (76, 32), (91, 46), (105, 51), (106, 69), (15, 69))
    shape(pen, "#2c3a45", (36, 46), (46, 36), (58, 36), (58, 46))  # windows
    shape(pen, "#2c3a45", (61, 36), (75, 36), (85, 46), (61, 46))
    shape(pen, "#8c1216", (15, 62), (106, 62), (106, 69), (15, 69))
    stroke(pen, "#7d1013", 0.8, (60, 36), (60, 66))  # door
    shape(pen, "#f4e9b8", (15, 53), (21, 52), (20, 58), (15, 58))  # lights
    shape(pen, "#f08a5a", (101, 52), (106, 53), (106, 58), (102, 58))
    wheel(pen, 35, 70, 9.5)
    wheel(pen, 87, 70, 9.5)
    return image


def truck() -> Image.Image:
    image = backdrop((150, 185, 215), (215, 225, 232), (120, 116, 108), 0.66)
    pen = ImageDraw.Draw(image)
    round_shape(pen, "#55524c", 14, 74, 108, 84)
    shape(pen, "#eceef0", (14, 22), (76, 22), (76, 66), (14, 66))  # box
    shape(pen, "#c9cdd2", (14, 60), (76, 60), (76, 66), (14, 66))
    for x in range(24, 76, 10):
        stroke(pen, "#d3d7db", 0.6, (x, 22), (x, 60))
    shape(pen, "#1f5fa8", (78, 34), (94, 34), (103, 50), (106, 53), (106, 70), (78, 70))  # cab
    shape(pen, "#243542", (84, 38), (93, 38), (99, 50), (84, 50))
    shape(pen, "#f4e9b8", (103, 58), (106, 58), (106, 63), (103, 63))
    shape(pen, "#2b2d31", (14, 66), (106, 66), (106, 71), (14, 71))  # frame
    for x in (28, 46, 93):
        wheel(pen, x, 73, 8.5)
    return image


def airplane() -> Image.Image:
    image = backdrop((70, 130, 200), (175, 210, 238), (175, 210, 238), 1)
    pen = ImageDraw.Draw(image)
    shape(pen, "#b9c0c8", (58, 43), (76, 42), (94, 16), (86, 16))  # far wing
    shape(pen, "#d9dde2", (16, 50), (22, 46), (92, 40), (103, 43), (107, 47), (103, 52), (92, 55), (24, 55))  # fuselage
    shape(pen, "#c1c7ce", (18, 52), (107, 48), (103, 52), (92, 55), (24, 55))
    shape(pen, "#2f5ea8", (13, 26), (21, 26), (34, 46), (18, 49))  # fin
    shape(pen, "#aeb6bf", (17, 51), (32, 51), (18, 60), (11, 60))  # tailplane
    shape(pen, "#8f98a3", (50, 51), (72, 50), (46, 80), (36, 80))  # near wing
    round_shape(pen, "#5d6670", 51, 60, 65, 67)  # engine
    for x in range(36, 92, 5):
        round_shape(pen, "#3f5166", x, 45, x + 2, 47)
    shape(pen, "#33414f", (97, 43), (102, 44), (102, 46), (97, 46))
    return image


def bird() -> Image.Image:
    image = backdrop((150, 180, 140), (196, 210, 170), (196, 210, 170), 1)
    pen = ImageDraw.Draw(image)
    stroke(pen, "#6b4a2f", 4, (8, 82), (60, 77), (112, 80))  # branch
    shape(pen, "#4d3a2c", (43, 57), (20, 75), (24, 80), (50, 68))  # tail
    round_shape(pen, "#7a5a40", 36, 38, 80, 74)  # body
    round_shape(pen, "#c9622f", 56, 41, 83, 71)  # breast
    round_shape(pen, "#7a5a40", 60, 20, 88, 48)  # head
    round_shape(pen, "#c9622f", 70, 29, 88, 48)
    shape(pen, "#4d3a2c", (40, 50), (64, 43), (66, 55), (52, 66), (32, 66))  # wing
    shape(pen, "#33291f", (86, 32), (97, 36), (86, 38))  # beak
    round_shape(pen, "#0e0c0b", 76, 28, 81, 33)
    stroke(pen, "#33291f", 1.4, (58, 72), (57, 79))
    stroke(pen, "#33291f", 1.4, (66, 72), (67, 79))
    return image


def frog() -> Image.Image:
    image = backdrop((120, 105, 80), (150, 130, 95), (140, 120, 85), 0.5)
    pen = ImageDraw.Draw(image)
    round_shape(pen, "#5a4c36", 18, 68, 104, 84)
    round_shape(pen, "#4b7a2c", 18, 48, 52, 78)  # hind leg
    round_shape(pen, "#5f9436", 26, 36, 92, 76)  # body
    round_shape(pen, "#5f9436", 60, 26, 102, 62)  # head
    round_shape(pen, "#c3cf8f", 66, 50, 98, 74)  # throat
    round_shape(pen, "#4b7a2c", 22, 56, 58, 80)
    shape(pen, "#4b7a2c", (74, 64), (82, 62), (86, 80), (76, 80))  # foreleg
    round_shape(pen, "#76ab45", 70, 22, 84, 36)  # eyes
    round_shape(pen, "#76ab45", 88, 24, 100, 36)
    round_shape(pen, "#11140c", 74, 25, 81, 32)
    round_shape(pen, "#11140c", 92, 27, 98, 33)
    stroke(pen, "#33551d", 1.2, (74, 50), (88, 53), (101, 47))  # mouth
    for x, y in ((38, 44), (48, 40), (44, 52), (56, 46), (62, 56)):
        round_shape(pen, "#3d6624", x, y, x + 5, y + 4)
    return image


def horse() -> Image.Image:
    image = backdrop((160, 195, 225), (215, 228, 235), (105, 140, 70), 0.62)
    pen = ImageDraw.Draw(image)
    for x, lean in ((38, -1), (46, 2), (74, -1), (82, 2)):  # legs
        shape(pen, "#56321c", (x, 58), (x + 7, 58), (x + lean + 4, 86), (x + lean, 86))
    round_shape(pen, "#7a4626", 32, 38, 90, 64)  # body
    shape(pen, "#7a4626", (74, 42), (88, 20), (96, 24), (90, 54))  # neck
    shape(pen, "#7a4626", (86, 18), (97, 19), (108, 33), (103, 37), (90, 30))  # head
    shape(pen, "#7a4626", (89, 20), (90, 12), (95, 19))  # ear
    shape(pen, "#21140c", (72, 42), (86, 16), (90, 18), (80, 44))  # mane
    shape(pen, "#21140c", (34, 42), (27, 48), (23, 68), (28, 68), (36, 52))  # tail
    round_shape(pen, "#0d0805", 95, 22, 98, 25)
    return image


def cat() -> Image.Image:
    image = backdrop((190, 165, 140), (205, 185, 160), (130, 100, 80), 0.75)
    pen = ImageDraw.Draw(image)
    stroke(pen, "#6e6a66", 6, (84, 82), (100, 76), (100, 58))  # tail
    round_shape(pen, "#86817c", 34, 50, 88, 104)  # body
    round_shape(pen, "#8f8a85", 34, 22, 86, 66)  # head
    for side in (-1, 1):
        shape(pen, "#8f8a85", (60 + 25 * side, 42), (60 + 24 * side, 10), (60 + 7 * side, 26))  # ears
        shape(pen, "#c79a92", (60 + 22 * side, 34), (60 + 21 * side, 17), (60 + 12 * side, 26))
        round_shape(pen, "#b9c45a", 60 + 11 * side - 5, 37, 60 + 11 * side + 5, 46)  # eyes
        round_shape(pen, "#0c0c0c", 60 + 11 * side - 1.8, 37, 60 + 11 * side + 1.8, 46)
        round_shape(pen, "#d8d3cd", 60 + 5 * side - 7, 50, 60 + 5 * side + 7, 60)  # muzzle
        for y in (50, 54, 58):
            stroke(pen, "#efece8", 0.5, (60 + 10 * side, 54), (60 + 34 * side, y))
    for x in (50, 60, 70):
        stroke(pen, "#4c4845", 2, (x, 24), (60 + (x - 60) * 0.7, 33))  # stripes
    shape(pen, "#b5675f", (56, 48), (64, 48), (60, 52))  # nose
    return image


SKETCHES: dict[str, Callable[[], Image.Image]] = {
    sketch.__name__: sketch for sketch in (airplane, automobile, bird, cat, frog, horse, ship, truck)
}


def draw(name: str) -> Image.Image:
    """The picture of this name, RGB of WIDTH by HEIGHT pixels: the same pixels each time."""
    return SKETCHES[name]().resize((WIDTH, HEIGHT), Image.Resampling.BOX)


if __name__ == "__main__":
    for name in SKETCHES:
        draw(name).save(Path(__file__).with_name(f"{name}.png"), optimize=True)
