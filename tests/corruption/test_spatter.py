import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage.filters import gaussian

from study.corruption.catalogue import CORRUPTIONS, corrupt
from study.corruption.spatter import NOWHERE, canny_edges, distance_from, equalised, spatter
from tests.corruption import small_images
from tests.corruption.small_images import assert_equal_but_for_rounding, coloured, truncated

WATER = [(1, 0.62, 0.1, 0.7, 0.7, 0.5), (2, 0.65, 0.1, 0.8, 0.7, 0.5), (3, 0.65, 0.3, 1, 0.69, 0.5)]
MUD = [(4, 0.65, 0.1, 0.7, 0.69, 0.6), (5, 0.65, 0.1, 0.5, 0.68, 0.6)]


@pytest.fixture(name="photos")
def smooth_images():
    return small_images.photos()


@pytest.fixture
def greys():
    """Sixty smooth grey images with about as many edges as drops have, and a plain one."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(0).random((60, 32, 32)), 1.2, mode="wrap", axes=(1, 2))
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return np.concatenate([255 * smooth, np.full((1, 32, 32), 90)]).astype(np.uint8)


class Drops:
    """A generator that draws this noise."""

    def __init__(self, noise):
        self.noise = noise

    def normal(self, mean, deviation, size):
        return mean + deviation * self.noise


def noise():
    return np.random.default_rng(0).normal(size=(8, 32, 32))


def test_canny_edges_are_opencvs(greys):
    theirs = np.stack([cv2.Canny(grey, 50, 150) for grey in greys]) == 255
    assert 0.1 < theirs.mean() < 0.5
    np.testing.assert_array_equal(canny_edges(greys, 50, 150), theirs)


def test_distances_are_opencvs_to_the_last_bit(greys):
    edges = np.stack([cv2.Canny(grey, 100, 250) for grey in greys])[:-1] == 255  # the plain one has none
    edges[0] = False
    edges[0, 3, 5] = True
    away = (255 * ~edges).astype(np.uint8)
    theirs = np.stack([cv2.distanceTransform(image, cv2.DIST_L2, 5) for image in away])
    assert theirs.max() > 30
    np.testing.assert_array_equal(distance_from(edges), theirs)


def test_distances_are_sums_of_steps_to_the_side_across_and_as_a_knight():
    edges = np.zeros((2, 32, 32), dtype=bool)
    edges[0, 8, 8] = True
    distance = distance_from(edges)
    assert distance[0, 8, 8] == 0 and distance[0, 8, 5] == 3
    assert distance[0, 10, 10] == pytest.approx(2 * 1.4)
    assert distance[0, 9, 6] == distance[0, 10, 9] == pytest.approx(2.1969)
    assert distance[0, 13, 15] == pytest.approx(2 * 2.1969 + 3 * 1.4)  # 5 down and 7 aside
    assert (distance[1] == NOWHERE).all()


def test_equalised_histograms_are_opencvs(greys):
    few = (greys // 12).astype(np.uint8)  # as few values as distances up to 20 have
    for images in (greys, few):
        theirs = np.stack([cv2.equalizeHist(image) for image in images])
        np.testing.assert_array_equal(equalised(images), theirs)


@pytest.mark.parametrize(("severity", "mean", "deviation", "sigma", "threshold", "strength"), WATER)
def test_water_is_the_authors_chain_of_opencv(severity, mean, deviation, sigma, threshold, strength, photos):
    ours = spatter(photos, CORRUPTIONS["spatter"].constants[severity - 1], Drops(noise()))
    for photo, field, result in zip(photos, noise(), ours, strict=True):
        drops = gaussian(mean + deviation * field, sigma=sigma)
        depth = (255 * np.where(drops < threshold, 0, drops)).astype(np.uint8)
        distance = cv2.distanceTransform(255 - cv2.Canny(depth, 50, 150), cv2.DIST_L2, 5)
        distance = cv2.equalizeHist(cv2.blur(np.minimum(distance, 20), (3, 3)).astype(np.uint8))
        emboss = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
        relief = cv2.blur(cv2.filter2D(distance, cv2.CV_8U, emboss), (3, 3))
        light = depth * relief.astype(np.float32)
        water = strength * light / light.max()
        expected = truncated(np.float32(photo) / 255 + water[..., None] * np.array([175, 238, 238]) / 255)
        assert (expected != photo).any()
        assert_equal_but_for_rounding(result, expected, 0.001)


@pytest.mark.parametrize(("severity", "mean", "deviation", "sigma", "threshold", "rim"), MUD)
def test_mud_covers_where_smoothed_noise_is_high(severity, mean, deviation, sigma, threshold, rim, photos):
    ours = spatter(photos, CORRUPTIONS["spatter"].constants[severity - 1], Drops(noise()))
    for photo, field, result in zip(photos, noise(), ours, strict=True):
        drops = gaussian(mean + deviation * field, sigma=sigma) > threshold
        cover = gaussian(drops.astype(np.float32), sigma=rim)[..., None]
        cover = np.where(cover < 0.8, 0, cover)
        expected = truncated(np.float32(photo) / 255 * (1 - cover) + cover * np.array([63, 42, 20]) / 255)
        assert (expected != photo).any()
        assert_equal_but_for_rounding(result, expected, 0.001)


@pytest.mark.parametrize("severity", [1, 4])
def test_where_no_drop_falls_the_image_stays(severity, photos):
    """The authors divide the light by its maximum, here 0, and make such an image black."""
    dry = spatter(photos, CORRUPTIONS["spatter"].constants[severity - 1], Drops(np.full((8, 32, 32), -9.0)))
    assert_equal_but_for_rounding(dry, photos, 0.5)  # k / 255 * 255 in float32 falls short of half of all k


def test_water_only_brightens_and_mud_only_draws_towards_brown():
    black, white = coloured(0, 0, 0), coloured(255, 255, 255)
    wet, dirty = corrupt(black, "spatter", 3, seed=0), corrupt(white, "spatter", 5, seed=0)
    assert wet.max() == int(0.5 * 238)  # half the water's colour where it is brightest
    np.testing.assert_array_equal(wet[..., 1], wet[..., 2])
    assert (dirty.reshape(-1, 3).min(axis=0) == [63, 42, 20]).all()
