import numpy as np
import pytest
import torch
from torch import nn

from study.attribution.faithfulness import STEPS, areas_of, baselines, deletion_insertion

TEMPERATURE = 2.0


class Spot(nn.Module):
    """Class 1 hangs on the first row alone: its logit is 10 where all of that row is white, and -10 where none is."""

    def forward(self, images):
        white = (images[:, 0] == 255).all(dim=-1).float().mean(dim=1)
        return torch.stack([torch.zeros(len(images)), 20 * white - 10], dim=1)


class Contrast(nn.Module):
    """The logit of class 1 grows with the spread of the values: 0 at a spread of 20."""

    def forward(self, images):
        spread = images.float().flatten(1).std(dim=1)
        return torch.stack([torch.zeros(len(images)), spread / 5 - 4], dim=1)


def grown(images, scale):
    return images.repeat(scale, axis=1).repeat(scale, axis=2)


def sigmoid(logit):
    return 1 / (1 + np.exp(-logit / TEMPERATURE))


@pytest.fixture
def white():
    """Three images of 32 x 32 pixels, all white: blurring changes nothing."""
    return np.full((3, 32, 32, 3), 255, dtype=np.uint8)


@pytest.fixture
def ties():
    return np.random.default_rng(0).random((3, 32, 32))


def rows(order):
    """Heat by row, the first of `order` the hottest."""
    heat = np.empty((32, 32))
    heat[np.asarray(order)] = np.linspace(1, 0, 32)[:, None]
    return np.stack([heat] * 3)


def deletion(images, heat, ties):
    return areas_of(Spot(), images, np.ones(3, dtype=np.int64), heat, ties, TEMPERATURE)["deletion"]


def test_deleting_what_counts_first_takes_the_probability_at_the_first_step(white, ties):
    # Two of 32 rows a step. Only the curve's first point is high, and a trapezoid gives it half a step.
    expected = (sigmoid(10) / 2 + (STEPS - 1) * sigmoid(-10) + sigmoid(-10) / 2) / STEPS
    np.testing.assert_allclose(deletion(white, rows(range(32)), ties), expected, atol=1e-6)


def test_deleting_what_counts_last_keeps_the_probability_to_the_last_step(white, ties):
    expected = (sigmoid(10) / 2 + (STEPS - 1) * sigmoid(10) + sigmoid(-10) / 2) / STEPS
    np.testing.assert_allclose(deletion(white, rows(range(31, -1, -1)), ties), expected, atol=1e-6)


def test_inserting_what_counts_early_raises_the_probability_early(ties):
    images = np.zeros((3, 32, 32, 3), dtype=np.uint8)
    images[:, 0] = 255  # blurred, no pixel of it is white
    last_first = [*range(31, -1, -1)]
    classes = np.ones(3, dtype=np.int64)
    early, late = (
        areas_of(Spot(), images, classes, rows(order), ties, TEMPERATURE)["insertion"]
        for order in (range(32), last_first)
    )
    np.testing.assert_allclose(early, (sigmoid(-10) / 2 + (STEPS - 0.5) * sigmoid(10)) / STEPS, atol=1e-6)
    np.testing.assert_allclose(late, ((STEPS - 0.5) * sigmoid(-10) + sigmoid(10) / 2) / STEPS, atol=1e-6)


def test_an_enlarged_image_has_the_areas_of_the_small_one(ties):
    """It starts from the same patches of colour: the blur grows with the image."""
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    small, large = (
        areas_of(Contrast(), *enlarged, TEMPERATURE)["insertion"]
        for scale in (1, 4)
        for enlarged in [(grown(images, scale), np.ones(3, dtype=np.int64), grown(ties, scale), grown(ties, scale))]
    )
    np.testing.assert_allclose(large, small, atol=0.02)


def test_the_area_is_that_of_the_class_asked_for(white, ties):
    zero = areas_of(Spot(), white, np.zeros(3, dtype=np.int64), rows(range(32)), ties, TEMPERATURE)["deletion"]
    np.testing.assert_allclose(zero, 1 - deletion(white, rows(range(32)), ties), atol=1e-6)


def test_pixels_of_equal_heat_go_by_the_ties_and_not_in_reading_order(white):
    flat = np.zeros((3, 32, 32))
    for order in (range(32), range(31, -1, -1)):
        np.testing.assert_array_equal(deletion(white, flat, rows(order)), deletion(white, rows(order), flat))
    assert (deletion(white, flat, rows(range(32))) < deletion(white, flat, rows(range(31, -1, -1)))).all()


def test_heat_matters_by_its_order_alone(white, ties):
    np.testing.assert_array_equal(deletion(white, ties, ties), deletion(white, ties**3 / 7, ties))


def test_the_centre_is_hottest_in_the_middle_and_the_same_for_every_image():
    centre = baselines(2, 4, 32, np.random.default_rng(0))["centre"]
    assert centre.shape == (2, 32, 32)
    np.testing.assert_array_equal(centre, centre[:, ::-1, ::-1])
    assert centre[0].max() == centre[0, 15, 15] == centre[0, 16, 16]
    assert centre[0].min() == centre[0, 0, 0] == centre[0, 31, 31]
    assert centre[0, 15, 20] > centre[0, 15, 25]


def test_random_heat_is_another_for_each_image_and_as_coarse_as_a_map():
    random = baselines(2, 4, 32, np.random.default_rng(0))["random"]
    assert not np.array_equal(*random)
    assert np.abs(np.diff(random, axis=1)).max() <= 1 / 8 + 1e-6  # a cell is 8 pixels: heat rises by 1 in no fewer
    np.testing.assert_array_equal(random, baselines(2, 4, 32, np.random.default_rng(0))["random"])


def test_random_places_of_a_map_that_speckles_nothing_leave_half_the_area(white):
    """The row that counts is deleted at a uniformly random step: on average half the curve is high."""
    images = np.repeat(white[:1], 60, axis=0)
    heat = np.random.default_rng(0).random((60, 32, 1)) * np.ones((1, 1, 32))
    measured = areas_of(Spot(), images, np.ones(60, dtype=np.int64), heat, heat, TEMPERATURE)["deletion"].mean()
    assert measured == pytest.approx(0.5, abs=4 * 0.29 / 60**0.5)  # 0.29 is a uniform variable's standard deviation


def test_every_method_is_measured_beside_both_baselines(white):
    maps = {"grad_cam": np.ones((3, 4, 4), dtype=np.float32), "hirescam": np.zeros((3, 4, 4), dtype=np.float32)}
    classes, rng = np.ones(3, dtype=np.int64), np.random.default_rng(0)
    measured = deletion_insertion(Spot(), white, classes, maps, TEMPERATURE, rng)
    assert list(measured) == ["grad_cam", "hirescam", "random", "centre"]
    for of in measured.values():
        assert {measure: values.shape for measure, values in of.items()} == {"deletion": (3,), "insertion": (3,)}
    # Maps without any order are ordered by the random baseline.
    np.testing.assert_array_equal(measured["grad_cam"]["deletion"], measured["random"]["deletion"])
