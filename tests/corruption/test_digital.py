import colorsys
from itertools import product

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage import color
from skimage.filters import gaussian

from study.corruption.catalogue import CORRUPTIONS, corrupt
from study.corruption.digital import elastic_transform
from tests.corruption import small_images
from tests.corruption.small_images import assert_equal_but_for_rounding, by_severity, coloured, truncated


@pytest.fixture(name="photos")
def smooth_images():
    return small_images.photos()


def through_hsv(images, change):
    """By the standard library, pixel by pixel; `change` maps (saturation, value) to a new pair."""
    pixels = []
    for pixel in images.reshape(-1, 3) / 255:
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
        pixels.append(colorsys.hsv_to_rgb(hue, *np.clip(change(saturation, value), 0, 1)))
    return (255 * np.reshape(pixels, images.shape)).astype(int)


@pytest.mark.parametrize(("severity", "added"), by_severity(0.05, 0.1, 0.15, 0.2, 0.3))
def test_brightness_adds_to_the_value_of_hsv(severity, added, photos):
    images = np.concatenate([photos[:2], coloured(0, 0, 0), coloured(77, 77, 77), coloured(255, 255, 255)])
    expected = through_hsv(images, lambda saturation, value: (saturation, value + added))
    assert_equal_but_for_rounding(corrupt(images, "brightness", severity, seed=0), expected, 0.005)


@pytest.mark.parametrize(
    ("severity", "factor", "added"), [(1, 0.3, 0), (2, 0.1, 0), (3, 1.5, 0), (4, 2, 0.1), (5, 2.5, 0.2)]
)
def test_saturate_scales_the_saturation_of_hsv(severity, factor, added, photos):
    images = np.concatenate([photos[:2], coloured(0, 0, 0), coloured(77, 77, 77), coloured(255, 255, 255)])
    expected = through_hsv(images, lambda saturation, value: (factor * saturation + added, value))
    assert_equal_but_for_rounding(corrupt(images, "saturate", severity, seed=0), expected, 0.02)


def test_saturate_reddens_grey_from_severity_4_on():
    assert (corrupt(coloured(201, 201, 201), "saturate", 3, seed=0) == 201).all()
    assert (corrupt(coloured(201, 201, 201), "saturate", 4, seed=0) == [201, int(201 * 0.9), int(201 * 0.9)]).all()


@pytest.mark.parametrize(
    ("name", "factor", "added"), [("brightness", (1, 1, 1), (0, 0, 0.3)), ("saturate", (1, 2.5, 1), (0, 0.2, 0))]
)
def test_hue_saturation_and_value_are_scikit_images(name, factor, added, photos):
    hsv = np.clip(np.multiply(factor, color.rgb2hsv(photos / 255)) + added, 0, 1)
    assert_equal_but_for_rounding(corrupt(photos, name, 5, seed=0), truncated(color.hsv2rgb(hsv)), 0.02)


@pytest.mark.parametrize(("severity", "factor"), by_severity(0.75, 0.5, 0.4, 0.3, 0.15))
def test_contrast_draws_each_channel_towards_its_mean(severity, factor):
    image = coloured(11, 70, 0)
    image[0, :16] = (202, 75, 0)  # channel means 106.5, 72.5 and 0
    low, high = corrupt(image, "contrast", severity, seed=0)[0, [31, 0], 0]
    assert low.tolist() == [int(106.5 - 95.5 * factor), int(72.5 - 2.5 * factor), 0]
    assert high.tolist() == [int(106.5 + 95.5 * factor), int(72.5 + 2.5 * factor), 0]


class Warp:
    """A generator that spawns itself and remembers what it drew, in order: corners, rows, columns."""

    def __init__(self):
        self.rng, self.drawn = np.random.default_rng(0), []

    def spawn(self, count):
        return [self] * count

    def uniform(self, low, high, size):
        self.drawn.append(self.rng.uniform(low, high, size=size))
        return self.drawn[-1]


@pytest.mark.parametrize(
    ("severity", "amplitude", "sigma", "shift"),
    [
        (1, 0, 0, 32 * 0.08),
        (2, 32 * 0.05, 32 * 0.2, 32 * 0.07),
        (3, 32 * 0.08, 32 * 0.06, 32 * 0.06),
        (4, 32 * 0.1, 32 * 0.04, 32 * 0.05),
        (5, 32 * 0.1, 32 * 0.03, 32 * 0.03),
    ],
)
def test_elastic_transform_is_opencvs_warp_and_scipys_displacement(severity, amplitude, sigma, shift, photos):
    warp = Warp()
    ours = elastic_transform(photos, CORRUPTIONS["elastic_transform"].constants[severity - 1], warp)
    corners, *displacements = warp.drawn
    assert shift / 2 < np.abs(corners).max() <= shift
    places = np.float32([[26, 26], [26, 6], [6, 6]])
    row, column, channel = np.meshgrid(np.arange(32), np.arange(32), np.arange(3), indexing="ij")
    for number, photo in enumerate(photos):
        affine = cv2.getAffineTransform(places, (places + corners[number]).astype(np.float32))
        pixels = cv2.warpAffine(np.float32(photo) / 255, affine, (32, 32), borderMode=cv2.BORDER_REFLECT_101)
        if amplitude:
            down, right = (
                amplitude * gaussian(each[number], sigma=sigma, mode="reflect", truncate=3)[..., None]
                for each in displacements
            )
            pixels = ndimage.map_coordinates(pixels, (row + down, column + right, channel), order=1, mode="reflect")
        assert_equal_but_for_rounding(ours[number], truncated(pixels), 0.01)


def test_elastic_transform_of_severity_1_is_an_affine_map():
    """A ramp of brightness stays one inside, where nothing has been mirrored at the border."""
    ramp = np.broadcast_to(np.arange(32)[:, None, None] * 4 + 60, (6, 32, 32, 3)).astype(np.uint8)
    inside = corrupt(ramp, "elastic_transform", 1, seed=0)[:, 12:20, 12:20].astype(float)
    for axis in (1, 2):
        assert np.abs(np.diff(inside, n=2, axis=axis)).max() <= 2  # truncation moves each of three values by up to one


def test_no_draw_of_the_corners_reaches_beyond_one_mirrored_image():
    """The worst draws lie at the ends of the range; a pixel more than 33 outside would raise IndexError."""
    ends = np.array(list(product((-1, 1), repeat=6))).reshape(64, 3, 2)

    class Worst(Warp):
        def uniform(self, low, high, size):
            return high * ends

    plain = elastic_transform(np.full((64, 32, 32, 3), 9, dtype=np.uint8), (0, 0, 2.56), Worst())
    assert np.isin(plain, (8, 9)).all()  # 9 / 255 * 255 in float32 may fall short of 9


@pytest.mark.parametrize(("severity", "side"), by_severity(30, 28, 27, 24, 20))
def test_pixelate_leaves_a_coarser_grid(severity, side, images):
    pixelated = corrupt(images[:1], "pixelate", severity, seed=0)[0]
    assert np.unique(pixelated, axis=0).shape[0] == np.unique(pixelated, axis=1).shape[1] == side
    assert pixelated.mean() == pytest.approx(images[0].mean(), abs=2)


@pytest.mark.parametrize(("severity", "side"), by_severity(30, 28, 27, 24, 20))
def test_pixelate_averages_the_pixels_whose_centres_a_box_covers(severity, side, photos):
    """One axis after the other, rounded in between as Pillow does."""
    box = ((np.arange(32) + 0.5) * side / 32).astype(int)  # which of the `side` boxes each pixel belongs to
    expected = photos.astype(float)
    for axis in (2, 1):
        sums = np.stack([expected.take(np.flatnonzero(box == each), axis).mean(axis) for each in range(side)], axis)
        expected = np.floor(sums + 0.5).take(box, axis)
    assert_equal_but_for_rounding(corrupt(photos, "pixelate", severity, seed=0), expected, 0.01)


@pytest.mark.parametrize(("severity", "quality"), by_severity(80, 65, 58, 50, 40))
def test_jpeg_compression_is_a_file_of_that_quality_with_halved_colour(severity, quality, photos, tmp_path):
    path = tmp_path / "photo.jpg"
    Image.fromarray(photos[0]).save(path, quality=quality, subsampling="4:2:0")
    np.testing.assert_array_equal(
        corrupt(photos[:1], "jpeg_compression", severity, seed=0)[0], np.asarray(Image.open(path))
    )


@pytest.mark.parametrize(("severity", "quality"), by_severity(80, 65, 58, 50, 40))
def test_jpeg_compression_is_opencvs_too(severity, quality, photos):
    """Both lean on libjpeg-turbo, but OpenCV names its sampling and its order of channels itself."""
    for photo, ours in zip(photos, corrupt(photos, "jpeg_compression", severity, seed=0), strict=True):
        sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
        _, file = cv2.imencode(".jpg", photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality, *sampling])
        np.testing.assert_array_equal(ours, cv2.imdecode(file, cv2.IMREAD_COLOR)[..., ::-1])
