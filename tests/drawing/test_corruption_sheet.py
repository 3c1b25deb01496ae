from itertools import pairwise

import numpy as np
import pytest

from study.drawing.corruption_sheet import corruption_sheet

GROUPS = {"fog": "benchmark", "saturate": "extra", "frost": "own", "snow": "benchmark"}


@pytest.fixture
def conditions():
    corrupted = [{"corruption": name, "group": GROUPS[name], "severity": each} for name in GROUPS for each in (1, 2)]
    return [{"corruption": "clean", "group": "clean", "severity": 0}, *corrupted]


def colours(count):
    """A colour for each, none of them grey or another's."""
    return np.stack([200 + np.arange(count), np.zeros(count), 50 * np.ones(count)], axis=1).astype(np.uint8)


def runs(line):
    """The colours along a line of pixels, once for each stretch, without white."""
    change = np.flatnonzero((line[1:] != line[:-1]).any(axis=1)) + 1
    values = line[np.concatenate([[0], change])]
    return [value.tolist() for value in values if (value != 255).any()]


def test_a_row_is_the_clean_image_then_its_severities_for_each_image(conditions):
    flat = colours(2 * len(conditions))
    images = np.broadcast_to(flat.reshape(-1, 2, 1, 1, 3), (len(conditions), 2, 32, 32, 3))
    sheet = np.asarray(corruption_sheet(conditions, images))
    tiles = sheet[:, 152:]  # right of the names
    rows = [runs(line) for line in tiles]
    rows = [row for row in rows if len(row) == 6 and all(colour in flat.tolist() for colour in row)]
    shown = [rows[0], *(row for before, row in pairwise(rows) if row != before)]

    def of(*places):
        return [flat[2 * place + image].tolist() for image in (0, 1) for place in (0, *places)]

    assert shown == [of(1, 2), of(7, 8), of(3, 4), of(5, 6)]  # fog, snow; saturate; frost


def test_every_pixel_is_shown_twice_as_large(conditions, images):
    grid = np.broadcast_to(images[:1], (len(conditions), 1, 32, 32, 3))
    sheet = np.asarray(corruption_sheet(conditions, grid))
    large = images[0].repeat(2, axis=0).repeat(2, axis=1)
    assert (sheet[52:116, 152:216] == large).all()  # below the heads and the first heading, right of the names


def test_a_group_without_corruptions_has_no_heading(conditions, images):
    two_groups = [condition for condition in conditions if condition["group"] != "own"]
    of = {len(each): np.broadcast_to(images[:1], (len(each), 1, 32, 32, 3)) for each in (conditions, two_groups)}
    heights = [corruption_sheet(each, of[len(each)]).height for each in (conditions, two_groups)]
    assert heights[0] - heights[1] == 26 + 64 + 3  # a heading, a row and the gap below it


@pytest.mark.parametrize(("side", "shown"), [(16, 64), (48, 48), (64, 64), (96, 96), (256, 128)])
def test_images_of_any_side_make_a_sheet_that_can_be_looked_at(conditions, side, shown):
    image = np.broadcast_to(np.array([200, 0, 50], np.uint8), (len(conditions), 1, side, side, 3))
    red = (np.asarray(corruption_sheet(conditions, image)) == [200, 0, 50]).all(axis=-1)
    rows, columns = len(GROUPS), 3  # corruptions; clean and two severities
    assert red.sum() == rows * columns * shown**2
