from itertools import pairwise

import numpy as np
import pytest

from study.drawing.image_grid import (
    GAP,
    HEADS,
    LABELS,
    TILE,
    augmentation_grid,
    class_distribution,
    sample_grid,
)

CLASSES = ["cat", "dog", "frog"]


def _plain(levels):
    """One grey image 32x32 for each level."""
    return np.broadcast_to(np.array(levels, np.uint8)[:, None, None, None], (len(levels), 32, 32, 3)).copy()


def _cell(picture, row, column, above):
    top, left = above + row * (TILE + GAP), LABELS + column * (TILE + GAP)
    return np.asarray(picture)[top : top + TILE, left : left + TILE]


def test_sample_grid_has_a_row_for_each_class_and_its_first_images():
    images, labels = _plain([10, 20, 30, 40, 50, 60]), np.array([2, 0, 2, 1, 0, 2])
    picture = sample_grid(images, labels, CLASSES, per_class=2)
    cells = [[_cell(picture, row, column, GAP).mean() for column in range(2)] for row in range(3)]
    assert cells == [[20, 50], [40, 255], [10, 30]]  # one dog: the second place stays white


def test_sample_grid_shows_every_pixel_unchanged():
    images = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    cell = _cell(sample_grid(images, np.array([0]), ["cat"]), 0, 0, GAP)
    np.testing.assert_array_equal(cell[::2, ::2], images[0])


def test_sample_grid_names_its_rows():
    blank = np.asarray(sample_grid(_plain([0]), np.array([0]), [""]))[:, :LABELS]
    named = np.asarray(sample_grid(_plain([0]), np.array([0]), ["cat"]))[:, :LABELS]
    assert (blank == 255).all() and (named < 128).any()


def test_augmented_views_follow_the_image_they_come_from():
    draws = iter([100, 110, 120])
    picture = augmentation_grid(
        _plain([1, 2]), np.array([0, 2]), CLASSES, lambda images: images + np.uint8(next(draws)), views=3
    )
    cells = [[_cell(picture, row, column, HEADS).mean() for column in range(4)] for row in range(2)]
    assert cells == [[1, 101, 111, 121], [2, 102, 112, 122]]


def test_class_distribution_draws_a_bar_for_each_class_in_a_panel_for_each_split():
    figure = class_distribution({"train": np.array([0, 2, 2]), "val": np.array([1])}, CLASSES)
    widths = [[bar.get_width() for bar in axes.patches] for axes in figure.axes]
    assert widths == [[1, 0, 2], [0, 1, 0]]  # those without images too
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == CLASSES
    assert [axes.get_title() for axes in figure.axes] == ["train: 3 images", "val: 1 images"]


@pytest.mark.parametrize(("side", "shown"), [(16, 64), (28, 56), (48, 48), (64, 64), (100, 64), (224, 64)])
def test_an_image_of_any_side_is_shown_at_about_the_same_size(side, shown):
    images = np.full((2, side, side, 3), 7, np.uint8)
    picture = sample_grid(images, np.array([0, 0]), ["cat"])
    assert picture.size == (LABELS + 2 * (shown + GAP), GAP + shown + GAP)
    assert (np.asarray(picture)[GAP : GAP + shown, LABELS : LABELS + shown] == 7).all()


def test_a_long_class_name_is_shortened_and_its_column_as_wide_as_it_needs():
    images, labels = _plain([0]), np.array([0])
    short, long = (sample_grid(images, labels, [name]) for name in ("cat", "great spotted " * 9))
    assert LABELS < long.width - short.width + LABELS < 3 * LABELS
    names = np.asarray(long.convert("L"))[:, : long.width - TILE - GAP]
    assert (names < 128).any() and (names[:, :2] == 255).all() and (names[:, -GAP:] == 255).all()


@pytest.mark.parametrize("count", [2, 10, 30])
def test_the_figure_of_counts_has_room_for_every_class_name(count):
    classes = [f"$class {number} {'long ' * 9}$" for number in range(count)]
    figure = class_distribution({"train": np.arange(count), "val": np.arange(count)}, classes)
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert len(boxes) == count and min(box.x0 for box in boxes) >= 0
    assert all(above.y0 >= below.y1 for above, below in pairwise(boxes))
