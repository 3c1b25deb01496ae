import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage.filters import gaussian

from study.corruption.blur import magnification, motion_blur, stroked
from study.corruption.catalogue import CORRUPTIONS, corrupt
from tests.corruption import small_images
from tests.corruption.small_images import assert_equal_but_for_rounding, at_angle, by_severity, dot, truncated


@pytest.fixture(name="photos")
def smooth_images():
    return small_images.photos()


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


@pytest.mark.parametrize(("severity", "sigma"), by_severity(0.4, 0.6, 0.7, 0.8, 1))
def test_gaussian_blur_is_scikit_images(severity, sigma, photos):
    expected = np.stack([truncated(gaussian(image / 255, sigma=sigma, channel_axis=-1)) for image in photos])
    assert_equal_but_for_rounding(corrupt(photos, "gaussian_blur", severity, seed=0), expected, 0.001)


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


@pytest.mark.parametrize(
    ("severity", "radius", "sigma"), [(1, 0.3, 0.4), (2, 0.4, 0.5), (3, 0.5, 0.6), (4, 1, 0.2), (5, 1.5, 0.1)]
)
def test_defocus_blur_is_opencvs(severity, radius, sigma, photos):
    """Its kernel is a disk of 17x17, softened by a 3x3 Gaussian."""
    place = np.arange(-8, 9)
    disk = (place[:, None] ** 2 + place**2 <= radius**2).astype(np.float32)
    kernel = cv2.GaussianBlur(disk / disk.sum(), ksize=(3, 3), sigmaX=sigma)
    expected = np.stack([truncated(cv2.filter2D(image / 255, -1, kernel)) for image in photos])
    assert_equal_but_for_rounding(corrupt(photos, "defocus_blur", severity, seed=0), expected, 0.002)


class Jumps:
    """A generator of the steps of glass blur, which remembers them."""

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def integers(self, low, high, size):
        self.drawn = self.rng.integers(low, high, size=size)
        return self.drawn


@pytest.mark.parametrize(
    ("severity", "sigma", "rounds"), [(1, 0.05, 1), (2, 0.25, 1), (3, 0.4, 1), (4, 0.25, 2), (5, 0.4, 2)]
)
def test_glass_blur_is_the_loop_of_swaps_that_copies(severity, sigma, rounds, photos):
    """The authors' loop, over pixels 31 to 2 backwards, assigns views: `a, b = b, a` leaves both equal to b."""
    corruption, jumps = CORRUPTIONS["glass_blur"], Jumps()
    ours = corruption.apply(photos, corruption.constants[severity - 1], jumps)
    for number, photo in enumerate(photos):
        shuffled = truncated(gaussian(photo / 255, sigma=sigma, channel_axis=-1))
        for up, left in jumps.drawn[number].reshape(rounds, 2, 30, 30):
            for row in range(31, 1, -1):
                for column in range(31, 1, -1):
                    other = row + up[row - 2, column - 2], column + left[row - 2, column - 2]
                    shuffled[row, column], shuffled[other] = shuffled[other], shuffled[row, column]
        expected = truncated(gaussian(shuffled / 255, sigma=sigma, channel_axis=-1))
        assert_equal_but_for_rounding(ours[number], expected, 0.001)


def test_glass_blur_of_severity_1_only_moves_pixels(images):
    """A Gaussian of sigma 0.05 has one tap: each pixel is its own or a neighbour's above or to the left."""
    moved = corrupt(images, "glass_blur", 1, seed=0)
    sources = np.stack([np.roll(images, (down, right), axis=(1, 2)) for down in (0, 1) for right in (0, 1)])
    same = (sources == moved).all(axis=-1)  # (4, N, 32, 32)
    assert same[0, :, :2].all() and same[0, :, :, :2].all()
    assert same[:, :, 2:, 2:].any(axis=0).all()
    np.testing.assert_allclose(same[:, :, 2:, 2:].mean(axis=(1, 2, 3)), 0.25, atol=0.01)


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


def test_a_stroke_over_one_grey_channel_is_imagemagicks_too():
    """Row 16 and column 31 of a grey PNG under `convert -motion-blur 14x12-70`, ImageMagick 6.9.11, 16 bits."""
    row, column = np.ogrid[:32, :32]
    image = ((row * row + 5 * column * row + 9 * column) % 256).astype(np.uint8)
    image[image < 170] = 0  # as flakes of snow are
    blurred = stroked(image[None, ..., None], 14, 12, np.array([-70.0]))[0, ..., 0]
    # fmt: off
    assert blurred[16].tolist() == [
        119, 41, 44, 53, 62, 58, 88, 65, 84, 56, 64, 84, 80, 92, 85, 118, 76, 82, 72, 110, 109, 94, 56, 34, 77, 41, 67,
        83, 61, 34, 61, 61,
    ]
    assert blurred[:, 31].tolist() == [
        0, 11, 11, 27, 27, 26, 40, 39, 38, 60, 49, 59, 60, 57, 66, 51, 61, 69, 54, 51, 72, 56, 52, 49, 71, 66, 65, 59,
        64, 67, 74, 70,
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


@pytest.mark.parametrize(("degrees", "down", "right"), [(-90, -1, 0), (-135, -1, -1), (180, 0, -1)])
def test_a_stroke_has_the_direction_of_its_image(degrees, down, right):
    both = stroked(np.concatenate([dot(), dot()]), 6, 2, np.array([0.0, degrees]))[..., 0]
    assert both[0, 16, 15] > 0  # it reads what lies to the right
    assert both[1, 16 - down, 16 - right] > 0 and both[1, 16, 15] == (both[1, 16, 14] if right >= 0 else 0)


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


@pytest.mark.parametrize(("factor", "kept", "zoomed"), [(1, 32, 32), (1.25, 26, 32), (1.75, 19, 33), (2.25, 15, 34)])
def test_a_magnification_stretches_the_middle_from_edge_to_edge(factor, kept, zoomed):
    """Linear between the centres of the outermost pixels kept, then cut to 32."""
    first, surplus = (32 - kept) // 2, (zoomed - 32) // 2
    ramp = first + np.linspace(0, kept - 1, zoomed)[surplus : surplus + 32]
    np.testing.assert_allclose(magnification(factor, 32) @ np.arange(32), ramp, atol=1e-12)
