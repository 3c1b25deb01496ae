"""Pictures and comparisons that the corruptions' tests share."""

import numpy as np
from scipy import ndimage

from study.corruption.catalogue import SEVERITIES

GREY = np.full((20, 32, 32, 3), 128, dtype=np.uint8)


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


def truncated(pixels):
    """[0, 1] to 0-255 as the authors have it."""
    return (255 * np.clip(pixels, 0, 1)).astype(np.uint8)


def assert_equal_but_for_rounding(actual, expected, share=0.0):
    """At most `share` of the values differ, by one: truncation lays bare the last bit of a sum that is an integer."""
    difference = np.abs(actual.astype(int) - expected.astype(int))
    assert difference.max() <= 1
    assert difference.mean() <= share
