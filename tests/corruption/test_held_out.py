import math
from cmath import exp
from statistics import NormalDist

import numpy as np
import pytest
from scipy import ndimage

from study.corruption.catalogue import CORRUPTIONS, corrupt
from study.corruption.held_out import blue_noise_sample, checkerboard_cutout, pinch_and_twirl, ripple
from tests.corruption import small_images
from tests.corruption.small_images import GREY, assert_equal_but_for_rounding, by_severity

PLACE = np.arange(32)
BLACK = np.zeros((2000, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(name="photos")
def smooth_images():
    return small_images.photos()


def power(images):
    """(32, 32): mean square of each frequency over images (..., 32, 32); frequency 0 is in the middle."""
    return np.fft.fftshift((np.abs(np.fft.fft2(images)) ** 2).mean(axis=tuple(range(images.ndim - 2))))


def looked_up(photo, source):
    """The photo at source(row, column) of each pixel, interpolated by SciPy, black outside."""
    places = np.array([[source(row, column) for column in PLACE] for row in PLACE]).transpose(2, 0, 1)
    channels = [
        ndimage.map_coordinates(channel.astype(float), places, order=1, mode="grid-constant")
        for channel in photo.transpose(2, 0, 1)
    ]
    return np.stack(channels, axis=-1).astype(np.uint8)


def test_blue_noise_keeps_a_pixel_or_blackens_all_its_channels(photos):
    photos = np.maximum(photos, 1)
    for severity in (1, 5):
        ours = corrupt(photos, "blue_noise_sample", severity, seed=0)
        black = (ours == 0).all(axis=-1)
        assert black.any()
        np.testing.assert_array_equal(ours[~black], photos[~black])


@pytest.mark.parametrize(("severity", "level"), by_severity(0.7, 1.4, 2.1, 3.5, 4.2))
def test_blue_noise_blackens_where_a_standard_normal_variable_is_low(severity, level):
    black = corrupt(np.repeat(GREY, 20, axis=0), "blue_noise_sample", severity, seed=0) == 0
    assert black.mean() == pytest.approx(NormalDist().cdf(0.3 * level - 2.5), rel=0.05)


def test_blue_noise_has_amplitudes_that_grow_with_the_frequency():
    """Sheppard 1899: two normal variables that correlate by r have the same sign with probability 1/2 + asin(r) / pi.

    Neighbours correlate by the mean cosine of a step, weighted by the power of each frequency, its distance squared.
    """
    kept = blue_noise_sample(np.repeat(GREY, 20, axis=0), 2.5 / 0.3, np.random.default_rng(0))[..., 0] > 0
    waves = PLACE - 16
    squared = waves[:, None] ** 2 + waves**2
    correlation = np.sum(squared * np.cos(2 * np.pi * waves / 32)) / squared.sum()
    assert correlation < -0.2
    for axis in (1, 2):
        alike = np.mean(kept == np.roll(kept, 1, axis=axis))
        assert alike == pytest.approx(0.5 + math.asin(correlation) / math.pi, abs=0.005)


@pytest.mark.parametrize(("severity", "level"), by_severity(2.5, 4, 5.5, 6.5, 7))
def test_brownish_noise_has_its_standard_deviation_in_every_channel(severity, level):
    noisy = corrupt(np.repeat(GREY, 5, axis=0), "brownish_noise", severity, seed=0)
    unclipped = (noisy.min(axis=(1, 2)) > 0) & (noisy.max(axis=(1, 2)) < 255)
    assert unclipped.any(axis=0).all()
    np.testing.assert_allclose(noisy.std(axis=(1, 2))[unclipped], 6.4 * level, atol=0.2)  # truncation


def test_brownish_noise_has_amplitudes_that_fall_with_the_squared_frequency():
    """Amplitude 1 / (waves^2 + 1). Fewer waves than three are so strong that scaling evens them out."""
    noise = corrupt(np.repeat(GREY, 20, axis=0), "brownish_noise", 1, seed=0).transpose(0, 3, 1, 2) - 128.0
    found = power(noise)
    three, six = ([found[16 + waves, 16], found[16, 16 + waves]] for waves in (3, 6))
    assert np.mean(three) / np.mean(six) == pytest.approx(((6**2 + 1) / (3**2 + 1)) ** 2, rel=0.1)


def test_brownish_noise_is_independent_per_channel():
    noise = corrupt(np.repeat(GREY, 20, axis=0), "brownish_noise", 1, seed=0).reshape(-1, 1024, 3) - 128.0
    noise -= noise.mean(axis=1, keepdims=True)
    correlations = (noise[..., 0] * noise[..., 1]).mean(axis=1) / (2.5 * 6.4) ** 2
    assert correlations.mean() == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize(("severity", "level"), by_severity(1, 2, 3, 4, 5))
def test_checkerboard_greys_half_the_chosen_share_of_the_pixels(severity, level, photos):
    greyed = corrupt(BLACK, "checkerboard_cutout", severity, seed=0)
    assert np.isin(greyed, (0, 128)).all()
    assert np.mean(greyed == 128) == pytest.approx(level / 10 / 2, rel=0.05)
    ours = corrupt(photos, "checkerboard_cutout", severity, seed=0)
    assert ((ours == photos).all(axis=-1) | (ours == 128).all(axis=-1)).all()


def fields(count, seed):
    """(row, column) of the checkerboard field that each pixel of `count` images is in, turned about the corner."""
    for_angle, for_size, _ = np.random.default_rng(seed).spawn(3)
    for angle, size in zip(for_angle.uniform(0, 2 * np.pi, count), for_size.uniform(3.2, 8, count), strict=True):
        yield [
            [
                (math.floor(turned.real / size), math.floor(turned.imag / size))
                for turned in (complex(row, column) * exp(-1j * angle) for column in PLACE)
            ]
            for row in PLACE
        ]


def test_checkerboard_greys_all_black_fields_when_all_are_chosen():
    ours = checkerboard_cutout(BLACK[:20], 10, np.random.default_rng(0))[..., 0] == 128
    for grey, field in zip(ours, fields(20, seed=0), strict=True):
        np.testing.assert_array_equal(grey, np.sum(field, axis=-1) % 2 == 0)


def test_checkerboard_greys_whole_fields():
    ours = checkerboard_cutout(BLACK[:20], 4, np.random.default_rng(0))[..., 0] == 128
    chosen = []
    for grey, field in zip(ours, fields(20, seed=0), strict=True):
        found = {}
        for place, of in zip(np.reshape(field, (-1, 2)).tolist(), grey.ravel(), strict=True):
            found.setdefault(tuple(place), set()).add(bool(of))
        assert all(len(values) == 1 for values in found.values())
        chosen += [values == {True} for place, values in found.items() if sum(place) % 2 == 0]
    assert np.mean(chosen) == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize(("severity", "level"), by_severity(5.5, 6, 6.5, 8.5, 10))
def test_pinch_and_twirl_turns_and_narrows_nine_discs_and_leaves_the_rest(severity, level, photos):
    """A disc of radius 5 as complex numbers about its middle: narrowing scales one, twirling turns it."""
    ours = pinch_and_twirl(photos, CORRUPTIONS["pinch_and_twirl"].constants[severity - 1], np.random.default_rng(0))
    for photo, found, signs in zip(photos, ours, np.random.default_rng(0).choice([-1, 1], (8, 3, 3)), strict=True):

        def source(row, column, signs=signs):
            if max(row, column) >= 30:
                return row, column
            middle = complex(row // 10 * 10 + 5, column // 10 * 10 + 5)
            offset = complex(row, column) - middle
            distance = abs(offset) / 5
            if not 0 < distance <= 1:
                return row, column
            narrowed = offset / math.sin(math.pi / 2 * distance) ** (0.1 + 0.4 * level / 10)
            turn = signs[row // 10, column // 10] * math.pi / 2 * level / 10 * (1 - distance) ** 2
            place = middle + narrowed * exp(1j * turn)
            return place.real, place.imag

        assert_equal_but_for_rounding(found, looked_up(photo, source), 0.005)


@pytest.mark.parametrize(("severity", "level"), by_severity(5.5, 6, 6.5, 7.5, 8))
def test_ripple_shifts_rows_and_columns_along_waves_of_their_own(severity, level, photos):
    ours = ripple(photos, CORRUPTIONS["ripple"].constants[severity - 1], np.random.default_rng(0))
    for_lengths, for_phases = np.random.default_rng(0).spawn(2)
    waves = for_lengths.uniform(0.1 * 32, 0.3 * 32, (8, 2)), for_phases.uniform(0, 2 * np.pi, (8, 2))
    for photo, found, lengths, phases in zip(photos, ours, *waves, strict=True):

        def source(row, column, lengths=lengths, phases=phases):
            return [
                place + 0.025 * level / 10 * 32 * math.sin(2 * math.pi * place / length + phase)
                for place, length, phase in zip((row, column), lengths, phases, strict=True)
            ]

        assert_equal_but_for_rounding(found, looked_up(photo, source), 0.005)


def test_ripple_reaches_out_of_the_image_into_black():
    white = np.full((50, 32, 32, 3), 255, dtype=np.uint8)
    ours = ripple(white, 8, np.random.default_rng(0))
    assert (ours[:, 1:-1, 1:-1] >= 254).all()  # less than a pixel is moved
    assert (ours[:, 0] < 254).any() and (ours[:, :, -1] < 254).any()
