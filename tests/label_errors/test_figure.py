from io import BytesIO
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from study.label_errors.figure import COLUMNS, DPI, OTHER, TILE, caption, label_errors_figure


def image(row, given="cat", suggested="dog", votes=(1, 4, 0, 0), predicted="dog", confidence=0.974):
    names = ["judges_given", "judges_suggested", "judges_both", "judges_neither"]
    image = {"row": row, "given": given, "suggested": suggested, **dict(zip(names, votes, strict=True))}
    return image | {"full_predicted": predicted, "full_confidence": confidence, "fc_predicted": "ship"}


def texts(figure):
    return [text.get_text() for text in figure.texts]


def test_a_caption_has_the_label_the_judges_and_the_variant():
    assert caption(image(0), "full") == ["label: cat, 1 of 5", "judges: dog, 4 of 5", "full: dog, 97 %"]


@pytest.mark.parametrize(
    ("votes", "told"),
    [
        ((1, 1, 0, 3), "judges: neither, 3 of 5"),
        ((2, 0, 2, 1), "judges: both, 2 of 5"),
        ((2, 1, 1, 1), "judges: dog, 1 of 5"),
    ],
)
def test_the_judges_line_is_their_commonest_other_answer_and_of_equals_the_suggested_class(votes, told):
    assert caption(image(0, votes=votes), "full")[1] == told


def test_the_first_images_of_the_table_are_shown_in_its_order(images):
    table = pd.DataFrame([image(row) for row in (7, 3, 30, 5)])
    figure = label_errors_figure(images, table, "full", most=3)
    shown = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    np.testing.assert_array_equal(shown, images[[7, 3, 30]])
    assert texts(figure)[0] == "Wrong labels among the test images: 3 of 4, those in most doubt"
    assert texts(figure).count("full: dog, 97 %") == 3


def test_every_pixel_of_an_image_is_a_square_of_its_colour(images):
    figure = label_errors_figure(images, pd.DataFrame([image(9)]), "full")
    file = BytesIO()
    figure.savefig(file, dpi=DPI)
    drawn = np.asarray(Image.open(file).convert("RGB"))
    box = figure.axes[0].get_window_extent()
    top, left = round(len(drawn) - box.y1), round(box.x0)
    tile = drawn[top : top + TILE, left : left + TILE]
    np.testing.assert_array_equal(tile, images[9].repeat(TILE // 32, axis=0).repeat(TILE // 32, axis=1))


def test_an_answer_is_in_colour_only_where_it_contradicts_the_label(images):
    table = pd.DataFrame([image(0), image(1, predicted="cat", confidence=0.5)])
    figure = label_errors_figure(images, table, "full")
    colours = {text.get_text(): text.get_color() for text in figure.texts}
    assert (colours["full: dog, 97 %"], colours["full: cat, 50 %"]) == (OTHER, "black")


def test_a_row_more_makes_the_figure_taller_and_not_wider(images):
    sizes = [
        label_errors_figure(images, pd.DataFrame([image(0)] * number), "full").get_size_inches() * DPI
        for number in (1, COLUMNS, COLUMNS + 1)
    ]
    assert list(sizes[0]) == list(sizes[1])
    assert sizes[2][0] == sizes[1][0] and sizes[2][1] > sizes[1][1] + TILE


def test_no_caption_reaches_into_the_next_one(images):
    longest = image(0, given="automobile", suggested="airplane", predicted="automobile", confidence=0.999)
    figure = label_errors_figure(images, pd.DataFrame([longest] * COLUMNS), "full")
    boxes = [text.get_window_extent() for text in figure.texts]
    lines = {}
    for box in boxes:
        lines.setdefault(round(box.y0), []).append((box.x0, box.x1))
    for line in lines.values():
        assert all(end < start for (_, end), (start, _) in pairwise(line))
    assert max(box.x1 for box in boxes) <= figure.bbox.width


def test_without_wrong_labels_there_is_a_heading_alone(images):
    figure = label_errors_figure(images, pd.DataFrame([image(0)])[:0], "full")
    assert texts(figure) == ["No wrong labels are known among the test images"]
    assert not figure.axes
