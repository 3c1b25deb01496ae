import cv2
import numpy as np
import pytest
from scipy import ndimage

from study.corruption.blur import stroked
from study.corruption.catalogue import CORRUPTIONS, corrupt
from study.corruption.weather import fog, frost, snow
from tests.corruption import small_images
from tests.corruption.small_images import assert_equal_but_for_rounding, by_severity, coloured, truncated


@pytest.fixture(name="photos")
def smooth_images():
    return small_images.photos()


class Falling:
    """A generator that spawns this noise for the flakes and this angle for how they fall."""

    def __init__(self, flakes, degrees):
        self.flakes, self.degrees = flakes, degrees

    def spawn(self, count):
        return [self] * count

    def normal(self, mean, deviation, size):
        return mean + deviation * self.flakes

    def uniform(self, low, high, size):
        assert (low, high) == (-135, -45)
        return np.full(size, self.degrees)


@pytest.mark.parametrize(
    ("severity", "mean", "deviation", "zoom", "threshold", "radius", "sigma", "kept"),
    [
        (1, 0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        (2, 0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (3, 0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (4, 0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (5, 0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    ],
)
def test_snow_is_flakes_of_thresholded_noise_over_a_whitened_image(
    severity, mean, deviation, zoom, threshold, radius, sigma, kept, photos
):
    """SciPy's magnification and OpenCV's grey, image by image; the stroke has tests of its own."""
    flakes, degrees = np.random.default_rng(0).normal(size=(8, 32, 32)), -70.0
    ours = snow(photos, CORRUPTIONS["snow"].constants[severity - 1], Falling(flakes, degrees))
    for photo, noise, result in zip(photos, flakes, ours, strict=True):
        side = int(np.ceil(32 / zoom))
        crop = (32 - side) // 2
        layer = ndimage.zoom((mean + deviation * noise)[crop : crop + side, crop : crop + side], zoom, order=1)
        trim = (len(layer) - 32) // 2
        layer = layer[trim : trim + 32, trim : trim + 32]
        layer = truncated(np.where(layer < threshold, 0, layer))
        layer = stroked(layer[None, ..., None], radius, sigma, np.array([degrees]))[0] / 255
        pixels = photo.astype(np.float32) / 255
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None]
        pixels = kept * pixels + (1 - kept) * np.maximum(pixels, grey * 1.5 + 0.5)
        expected = truncated(pixels + layer + np.rot90(layer, k=2))
        assert_equal_but_for_rounding(result, expected, 0.001)


@pytest.mark.parametrize(("severity", "kept"), by_severity(0.95, 0.9, 0.9, 0.85, 0.8))
def test_snow_without_a_flake_only_whitens(severity, kept):
    """Grey 102 of 255 is 0.4, and white over it 1.5 * 0.4 + 0.5, which is 1.1."""
    calm = Falling(np.full((1, 32, 32), -9.0), -90.0)
    whitened = snow(coloured(102, 102, 102), CORRUPTIONS["snow"].constants[severity - 1], calm)
    np.testing.assert_allclose(whitened, 255 * (kept * 0.4 + (1 - kept) * 1.1), atol=1)


def test_snow_falls_alike_when_it_is_turned_by_180_degrees():
    black = np.zeros((4, 32, 32, 3), dtype=np.uint8)
    fallen = corrupt(black, "snow", 5, seed=0)
    np.testing.assert_array_equal(fallen, fallen[:, ::-1, ::-1])


def test_snow_draws_flakes_and_angles_for_each_image(photos):
    snowed = corrupt(np.repeat(photos[:1], 8, axis=0), "snow", 5, seed=0)
    assert len(np.unique(snowed, axis=0)) == 8


@pytest.mark.parametrize(
    ("severity", "of_image", "of_ice"), [(1, 1, 0.2), (2, 1, 0.3), (3, 0.9, 0.4), (4, 0.85, 0.4), (5, 0.75, 0.45)]
)
def test_frost_adds_ice_to_the_image_in_the_authors_shares(severity, of_image, of_ice):
    """The same draws give the same ice, which black under frost of share 1 shows as it is."""
    black, dim = coloured(0, 0, 0), coloured(60, 80, 100)
    mixture = CORRUPTIONS["frost"].constants[severity - 1]
    ice = frost(black, (1, 1), np.random.default_rng(0)) / 255
    frosted = frost(dim, mixture, np.random.default_rng(0))
    np.testing.assert_allclose(frosted, np.minimum(255 * (of_image * dim / 255 + of_ice * ice), 255), atol=1)


def test_our_ice_is_as_bright_and_as_contrasty_as_the_authors_photographs():
    """200 random crops, 40 from each of frost1.png to frost5.jpg as the wheel imagecorruptions 1.1.2 holds them, shrunk
    to a fifth by OpenCV, had means of 0.564, 0.647 and 0.693 in red, green and blue; their grey had a deviation of
    0.087 within a crop, and crops' means one of 0.154."""
    ice = frost(np.zeros((200, 32, 32, 3), dtype=np.uint8), (1, 1), np.random.default_rng(0)) / 255
    np.testing.assert_allclose(ice.mean(axis=(0, 1, 2)), [0.564, 0.647, 0.693], atol=0.05)
    grey = ice.mean(axis=-1)
    assert grey.std(axis=(1, 2)).mean() == pytest.approx(0.087, abs=0.02)
    assert grey.mean(axis=(1, 2)).std() == pytest.approx(0.154, abs=0.02)


def plasma(noise, decay):
    """The diamond-square algorithm, point by point."""
    heights, step, amplitude = np.zeros((32, 32)), 32, 1.0

    def displace(rows, columns, neighbours):
        for row in rows:
            for column in columns:
                around = [heights[(row + down) % 32, (column + right) % 32] for down, right in neighbours]
                heights[row, column] = sum(around) / 4 + amplitude * noise[row, column]

    while step >= 2:
        half = step // 2
        on, off = range(0, 32, step), range(half, 32, step)
        displace(off, off, [(-half, -half), (-half, half), (half, -half), (half, half)])
        beside = [(-half, 0), (half, 0), (0, -half), (0, half)]
        displace(on, off, beside)
        displace(off, on, beside)
        step, amplitude = half, amplitude / decay**2
    return (heights - heights.min()) / (heights.max() - heights.min())


@pytest.mark.parametrize(
    ("severity", "amount", "decay"), [(1, 0.2, 3), (2, 0.5, 3), (3, 0.75, 2.5), (4, 1, 2), (5, 1.5, 1.75)]
)
def test_fog_adds_a_plasma_fractal_and_keeps_the_brightest_value(severity, amount, decay, photos):
    photos = photos // 2
    noise = np.random.default_rng(0).uniform(-1, 1, size=(8, 32, 32))
    pixels, clouds = photos / 255, np.stack([plasma(field, decay) for field in noise])[..., None]
    brightest = 127 / 255
    expected = (pixels + amount * clouds) * brightest / (brightest + amount)
    foggy = fog(photos, CORRUPTIONS["fog"].constants[severity - 1], np.random.default_rng(0))
    assert_equal_but_for_rounding(foggy, (255 * expected).astype(int), 0.001)
    assert foggy.max() <= 127
