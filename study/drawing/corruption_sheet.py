"""One picture of all corruptions: a row per corruption, a column per severity."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Screen pixels.
TILE = 64, 128  # small images are enlarged by a whole number up to the first, large ones shrunk to the second
GAP = 3  # between severities
APART = 22  # between the blocks of two images
LABELS = 152  # width of the column of names
HEADS = 26  # height of the column heads, and of a group's heading
MARGIN = 12
FONT, BOLD = ImageFont.load_default(14), ImageFont.load_default(15)
GREY = "#555555"

HEADINGS = {
    "benchmark": "CIFAR-10-C: of the 15 that its mean is taken over",
    "extra": "CIFAR-10-C: the 4 extra ones",
    "own": "this project's own: in no mean",
    "held_out": "CIFAR-10-C-bar: held out, with a mean of their own",
}


def corruption_sheet(conditions: Sequence[Mapping[str, Any]], images: np.ndarray) -> Image.Image:
    """A row per corruption and a block of columns per image: the clean image, then severity after severity.

    conditions: C times `corruption`, `group` and `severity`, where severity 0 is the clean images. images: uint8
    (C, M, S, S, 3), M images per condition.
    """
    side = images.shape[2]
    width = height = min(max(TILE[0] // side, 1) * side, TILE[1])
    how = Image.Resampling.NEAREST if width >= side else Image.Resampling.LANCZOS
    severities = sorted({condition["severity"] for condition in conditions})
    places = {(condition["corruption"], condition["severity"]): place for place, condition in enumerate(conditions)}
    clean = next(place for place, condition in enumerate(conditions) if condition["severity"] == 0)
    rows = {
        group: list(dict.fromkeys(each["corruption"] for each in conditions if each["group"] == group))
        for group in HEADINGS
    }
    rows = {group: names for group, names in rows.items() if names}

    block = len(severities) * (width + GAP) - GAP
    lefts = [LABELS + picture * (block + APART) for picture in range(images.shape[1])]
    bottom = sum(HEADS + len(names) * (height + GAP) for names in rows.values())
    sheet = Image.new("RGB", (lefts[-1] + block + MARGIN, HEADS + bottom + MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    for left in lefts:
        for column, severity in enumerate(severities):
            head = f"severity {severity}" if severity == 1 else str(severity) if severity else "clean"
            draw.text((left + column * (width + GAP) + width / 2, HEADS / 2), head, GREY, FONT, anchor="mm")
    top = HEADS
    for group, names in rows.items():
        draw.text((MARGIN, top + HEADS / 2), HEADINGS[group], "black", BOLD, anchor="lm")
        top += HEADS
        for name in names:
            draw.text((LABELS - MARGIN, top + height / 2), name.replace("_", " "), GREY, FONT, anchor="rm")
            for picture, left in enumerate(lefts):
                for column, severity in enumerate(severities):
                    place = places[name, severity] if severity else clean
                    tile = Image.fromarray(images[place, picture]).resize((width, height), how)
                    sheet.paste(tile, (left + column * (width + GAP), top))
            top += height + GAP
    return sheet
