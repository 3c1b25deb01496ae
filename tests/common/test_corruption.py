import colorsys
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from stages.common.corruption import CORRUPTIONS, SEVERITIES, CorruptEval, corrupt, fog, motion_blur
from stages.common.params import Refusal, parse

GREY = np.full((20, 32, 32, 3), 128, dtype=np.uint8)
RANDOM = ["gaussian_noise", "shot_noise", "impulse_noise", "motion_blur", "fog", "speckle_noise"]


@pytest.fixture
def photos():
    """Eight smooth colour images with the full range of values, which is more like a photograph than noise is."""
    noise = np.random.default_rng(1).random((8, 32, 32, 3))
    smooth = ndimage.gaussian_filter(noise, 2, axes=(1, 2), mode="wrap")
    low, high = smooth.min(axis=(1, 2), keepdims=True), smooth.max(axis=(1, 2), keepdims=True)
    return np.rint(255 * (smooth - low) / (high - low)).astype(np.uint8)


def by_severity(*constants):
    return list(zip(SEVERITIES, constants, strict=True))


def coloured(*pixel):
    return np.full((1, 32, 32, 3), pixel, dtype=np.uint8)


def dot():
    image = np.zeros((1, 32, 32, 3), dtype=np.uint8)
    image[0, 16, 16] = 254
    return image


def at_angle(degrees):
    """A generator that draws this angle for every image."""

    class Angle:
        def uniform(self, low, high, size):
            return np.full(size, degrees)

    return Angle()


def assert_equal_but_for_rounding(actual, expected, share):
    """At most `share` of the values differ, by one: truncation lays bare the last bit of a sum that is an integer."""
    difference = np.abs(actual.astype(int) - expected)
    assert difference.max() <= 1
    assert difference.mean() <= share


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_a_corruption_returns_new_uint8_images_of_the_same_shape(name, severity, photos):
    given = photos.copy()
    corrupted = corrupt(photos, name, severity, seed=0)
    assert corrupted.dtype == np.uint8 and corrupted.shape == photos.shape
    assert all((one != other).any() for one, other in zip(corrupted, photos, strict=True))
    np.testing.assert_array_equal(photos, given)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_result_depends_on_nothing_that_came_before(name, photos):
    alone = corrupt(photos, name, 3, seed=5)
    np.random.seed(0)
    for other in CORRUPTIONS:
        corrupt(photos, other, 2, seed=5)
    np.testing.assert_array_equal(corrupt(photos, name, 3, seed=5), alone)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_image_is_corrupted_alike_however_many_follow_it(name, photos):
    np.testing.assert_array_equal(corrupt(photos[:3], name, 3, seed=0), corrupt(photos, name, 3, seed=0)[:3])


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_seed_matters_where_there_is_chance(name, photos):
    differs = (corrupt(photos, name, 3, seed=0) != corrupt(photos, name, 3, seed=1)).any()
    assert differs == (name in RANDOM)


def test_each_noise_and_severity_draws_its_own_numbers():
    """Were they shared, gaussian and speckle noise of one severity would have the same signs."""
    signs = [
        np.sign(corrupt(GREY, name, severity, seed=0).astype(int) - 128).ravel()
        for name in ("gaussian_noise", "speckle_noise")
        for severity in (1, 2)
    ]
    correlations = np.corrcoef(signs)[np.triu_indices(4, k=1)]
    assert np.abs(correlations).max() < 0.02


@pytest.mark.parametrize("name", [name for name in CORRUPTIONS if name != "saturate"])
def test_a_higher_severity_changes_the_images_more(name, photos):
    change = [np.abs(corrupt(photos, name, severity, seed=0) - photos.astype(float)).mean() for severity in SEVERITIES]
    assert change == sorted(change)


@pytest.mark.parametrize(
    ("name", "deviations"),
    [
        ("gaussian_noise", [0.04, 0.06, 0.08, 0.09, 0.10]),
        ("speckle_noise", [128 / 255 * scale for scale in (0.06, 0.1, 0.12, 0.16, 0.2)]),
        ("shot_noise", [(128 / 255 / photons) ** 0.5 for photons in (500, 250, 100, 75, 50)]),
    ],
)
def test_noise_has_its_standard_deviation_and_is_truncated(name, deviations):
    for severity, deviation in by_severity(*deviations):
        noisy = corrupt(GREY, name, severity, seed=0)
        assert noisy.std() == pytest.approx(255 * deviation, rel=0.02)
        assert noisy.mean() == pytest.approx(127.5, abs=0.4)  # it would be 128 if values were rounded


def test_impulse_noise_hits_single_channels_half_with_black_and_half_with_white():
    for severity, amount in by_severity(0.01, 0.02, 0.03, 0.05, 0.07):
        noisy = corrupt(GREY, "impulse_noise", severity, seed=0)
        assert np.isin(noisy, (0, 128, 255)).all()
        assert np.mean(noisy == 0) == pytest.approx(amount / 2, rel=0.15)
        assert np.mean(noisy == 255) == pytest.approx(amount / 2, rel=0.15)
        hits = (noisy != 128).sum(axis=-1)
        assert np.mean(hits == 1) == pytest.approx(3 * amount * (1 - amount) ** 2, rel=0.1)


@pytest.mark.parametrize(
    ("severity", "centre", "edge", "corner"),
    [
        (1, 0.8450, 0.0371, 0.0016),  # a point, softened by a Gaussian of sigma 0.4 cut to three taps
        (2, 0.6193, 0.0838, 0.0113),
        (3, 0.4452, 0.1110, 0.0277),
        (4, 1 / 5, 1 / 5, 0),
        (5, 1 / 9, 1 / 9, 1 / 9),
    ],
)
def test_defocus_blur_spreads_a_dot_over_three_by_three_pixels(severity, centre, edge, corner):
    expected = np.zeros((32, 32, 3))
    weights = np.array([[corner, edge, corner], [edge, centre, edge], [corner, edge, corner]])
    expected[15:18, 15:18] = (254 * weights)[..., None]
    np.testing.assert_array_equal(corrupt(dot(), "defocus_blur", severity, seed=0)[0], expected.astype(np.uint8))


def test_defocus_blur_mirrors_the_border_without_repeating_it():
    image = np.zeros((1, 32, 32, 3), dtype=np.uint8)
    image[:, 1] = 90
    assert (corrupt(image, "defocus_blur", 5, seed=0)[:, 0] == 2 * 90 / 3).all()


@pytest.mark.parametrize(("severity", "sigma"), by_severity(0.4, 0.6, 0.7, 0.8, 1))
def test_gaussian_blur_is_a_convolution_with_the_border_repeated(severity, sigma, photos):
    radius = int(4 * sigma + 0.5)
    taps = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    taps /= taps.sum()
    padded = np.pad(photos / 255, [(0, 0), (radius, radius), (radius, radius), (0, 0)], mode="edge")
    rows = sum(tap * padded[:, shift : shift + 32] for shift, tap in enumerate(taps))
    blurred = sum(tap * rows[:, :, shift : shift + 32] for shift, tap in enumerate(taps))
    assert_equal_but_for_rounding(
        corrupt(photos, "gaussian_blur", severity, seed=0), (255 * blurred).astype(int), 0.001
    )


def test_motion_blur_is_imagemagicks():
    """Channel 0 of row 16 and channel 2 of row 31 of `convert -motion-blur 6x2+30`, ImageMagick 6.9.11, 16 bits."""
    row, column, channel = np.ogrid[:32, :32, :3]
    image = ((row * row + 5 * column * row + 9 * column + 80 * channel) % 256).astype(np.uint8)
    blurred = motion_blur(image[None], (6, 2), at_angle(30.0))[0]
    # fmt: off
    assert blurred[16, :, 0].tolist() == [
        85, 121, 124, 103, 137, 114, 65, 144, 132, 81, 161, 146, 88, 151, 111, 105, 165, 117, 123, 182, 134, 140, 199,
        152, 126, 78, 83, 143, 94, 83, 139, 169,
    ]
    assert blurred[31, :, 2].tolist() == [
        83, 106, 151, 138, 171, 131, 118, 151, 112, 99, 132, 95, 118, 163, 150, 183, 143, 130, 163, 123, 110, 143, 104,
        91, 124, 87, 110, 155, 140, 149, 91, 61,
    ]
    # fmt: on


@pytest.mark.parametrize(("degrees", "rows"), [(0, 0), (45, 1), (-45, -1)])
@pytest.mark.parametrize(("severity", "sigma"), by_severity(1, 1.5, 2, 2, 2.5))
def test_motion_blur_draws_a_dot_out_to_one_side(severity, sigma, degrees, rows):
    blurred = motion_blur(dot(), CORRUPTIONS["motion_blur"].constants[severity - 1], at_angle(degrees))[0, ..., 0]
    weights = np.exp(-(np.arange(13) ** 2) / (2 * sigma**2))
    steps = np.round(np.arange(13) * np.cos(np.deg2rad(degrees))).astype(int)
    expected = np.zeros((32, 32))
    np.add.at(expected, (16 - rows * steps, 16 - steps), 254 * weights / weights.sum())
    np.testing.assert_allclose(blurred, expected, atol=1)


def test_motion_blur_gives_each_image_an_angle_of_its_own(photos):
    blurred = corrupt(np.repeat(photos[:1], 8, axis=0), "motion_blur", 5, seed=0)
    assert len(np.unique(blurred, axis=0)) == 8


@pytest.mark.parametrize(("severity", "count"), by_severity(7, 12, 16, 21, 26))
def test_zoom_blur_is_the_mean_of_the_image_and_its_magnifications(severity, count, photos):
    pixels = photos / 255
    total = pixels.copy()
    for factor in np.arange(1, (1.06, 1.11, 1.16, 1.21, 1.26)[severity - 1], 0.01)[:count]:
        side = int(np.ceil(32 / factor))
        crop = (32 - side) // 2
        zoomed = ndimage.zoom(
            pixels[:, crop : crop + side, crop : crop + side], (1, factor, factor, 1), order=1
        )  # 32 to 34 pixels wide
        trim = (zoomed.shape[1] - 32) // 2
        total += zoomed[:, trim : trim + 32, trim : trim + 32]
    assert_equal_but_for_rounding(
        corrupt(photos, "zoom_blur", severity, seed=0), (255 * total / (count + 1)).astype(int), 0.005
    )


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


@pytest.mark.parametrize(("severity", "factor"), by_severity(0.75, 0.5, 0.4, 0.3, 0.15))
def test_contrast_draws_each_channel_towards_its_mean(severity, factor):
    image = coloured(11, 70, 0)
    image[0, :16] = (202, 75, 0)  # channel means 106.5, 72.5 and 0
    low, high = corrupt(image, "contrast", severity, seed=0)[0, [31, 0], 0]
    assert low.tolist() == [int(106.5 - 95.5 * factor), int(72.5 - 2.5 * factor), 0]
    assert high.tolist() == [int(106.5 + 95.5 * factor), int(72.5 + 2.5 * factor), 0]


@pytest.mark.parametrize(("severity", "side"), by_severity(30, 28, 27, 24, 20))
def test_pixelate_leaves_a_coarser_grid(severity, side, images):
    pixelated = corrupt(images[:1], "pixelate", severity, seed=0)[0]
    assert np.unique(pixelated, axis=0).shape[0] == np.unique(pixelated, axis=1).shape[1] == side
    assert pixelated.mean() == pytest.approx(images[0].mean(), abs=2)


@pytest.mark.parametrize(("severity", "quality"), by_severity(80, 65, 58, 50, 40))
def test_jpeg_compression_is_a_file_of_that_quality_with_halved_colour(severity, quality, photos, tmp_path):
    path = tmp_path / "photo.jpg"
    Image.fromarray(photos[0]).save(path, quality=quality, subsampling="4:2:0")
    np.testing.assert_array_equal(
        corrupt(photos[:1], "jpeg_compression", severity, seed=0)[0], np.asarray(Image.open(path))
    )


@pytest.mark.parametrize(
    ("name", "severity", "message"),
    [
        ("fogg", 1, "unknown corruption 'fogg': choose from gaussian_noise, "),
        ("fog", 0, "severity must be 1, 2, 3, 4 or 5, got 0"),
        ("fog", 6, "severity must be 1, 2, 3, 4 or 5, got 6"),
    ],
)
def test_an_unknown_name_or_severity_is_quoted(name, severity, message):
    with pytest.raises(ValueError, match=message):
        corrupt(GREY, name, severity, seed=0)


@pytest.mark.parametrize(
    ("images", "received"),
    [
        (np.zeros((2, 28, 28, 3), np.uint8), r"uint8 \(2, 28, 28, 3\)"),
        (np.zeros((32, 32, 3), np.uint8), r"uint8 \(32, 32, 3\)"),
        (np.zeros((2, 32, 32, 3)), r"float64 \(2, 32, 32, 3\)"),
    ],
)
def test_images_of_another_shape_or_dtype_are_quoted(images, received):
    with pytest.raises(ValueError, match=received):
        corrupt(images, "contrast", 1, seed=0)


BLOCK = {"corruptions": ["gaussian_noise", "motion_blur"], "images": 1000, "seed": 0}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"corruptions": ["fogg"]}, r"corrupt_eval.corruptions.0 = 'fogg': .*'gaussian_noise'.*'saturate'"),
        ({"corruptions": []}, r"corrupt_eval.corruptions = \[\]: .*at least 1"),
        ({"corruptions": ["fog", "fog"]}, r"corrupt_eval.corruptions = \['fog', 'fog'\]: .*once"),
        ({"images": 9}, "corrupt_eval.images = 9: .*greater than or equal to 10"),
        ({"images": 1000.0}, "corrupt_eval.images = 1000.0: .*integer"),
        ({"seed": -1}, "corrupt_eval.seed = -1: .*greater than or equal to 0"),
        ({"severities": [1]}, "corrupt_eval.severities is not a known parameter"),
    ],
)
def test_a_bad_parameter_is_refused_in_one_line(change, line):
    with pytest.raises(Refusal, match=line) as refusal:
        parse({"corrupt_eval": BLOCK | change}, "corrupt_eval", CorruptEval)
    assert "\n" not in str(refusal.value)


def test_the_block_keeps_what_it_was_given():
    assert parse({"corrupt_eval": BLOCK}, "corrupt_eval", CorruptEval).model_dump() == BLOCK


def test_it_never_imports_torch():
    code = "import sys, stages.common.corruption; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0
