"""Blurs: lens, frosted glass, motion and zoom, with the strokes and magnifications that snow uses too.

A corruption is a function of images (N, S, S, 3), uint8, the constant of a severity, and a random generator; it
returns the same shape and dtype. An image's randomness must not depend on how many follow it.
"""

import numpy as np
from scipy import ndimage, sparse

from study.corruption.pixel_values import to_uint8


def gaussian_blur(images: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Blur with a Gaussian of `sigma` pixels, cut at 4 sigma; the border is repeated."""
    return to_uint8(ndimage.gaussian_filter(images / 255, sigma, mode="nearest", truncate=4, axes=(1, 2)))


def defocus_blur(images: np.ndarray, disk: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Blur with a disk of (radius, sigma) pixels, softened by a Gaussian of three taps; the border is mirrored.

    The weights are float32 like OpenCV's, because their last bits decide how a sum near an integer is truncated.
    """
    radius, sigma = disk
    offsets = np.arange(-2, 3)  # the widest disk, plus a pixel for softening
    kernel = (offsets[:, None] ** 2 + offsets**2 <= radius**2).astype(np.float32)
    kernel /= kernel.sum()
    taps = np.exp(-(np.arange(-1, 2) ** 2) / (2 * sigma**2))
    taps = (taps / taps.sum()).astype(np.float32)
    for axis in (0, 1):
        kernel = ndimage.correlate1d(kernel, taps, axis, mode="constant")
    return to_uint8(ndimage.correlate(images / 255, kernel[None, :, :, None], mode="mirror"))


def glass_blur(images: np.ndarray, glass: tuple[float, int], rng: np.random.Generator) -> np.ndarray:
    """Blur, shuffle and blur again. glass: (sigma, rounds).

    In a round each pixel, except in the two top rows and left columns, takes its own value or that of the neighbour
    above, to the left, or above left. The authors meant to swap the two pixels, from the last backwards. They assign
    views, so their loop copies instead, and reads only pixels that it has not changed yet.
    """
    sigma, rounds = glass
    pixels = gaussian_blur(images, sigma, rng)
    side = images.shape[1]
    inner = np.arange(2, side)
    image = np.arange(len(images))[:, None, None]
    jumps = rng.integers(-1, 1, size=(len(images), rounds, 2, side - 2, side - 2))
    for up, left in np.moveaxis(jumps, 0, 2):
        pixels[:, 2:, 2:] = pixels[image, inner[:, None] + up, inner + left]
    return gaussian_blur(pixels, sigma, rng)


def motion_blur(images: np.ndarray, stroke: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Blur with a stroke of (radius, sigma) pixels, at a random angle within 45 degrees of level for each image."""
    return stroked(images, *stroke, rng.uniform(-45, 45, size=len(images)))


def stroked(images: np.ndarray, radius: float, sigma: float, degrees: np.ndarray) -> np.ndarray:
    """Blur each of `images`, uint8 (N, S, S, channels), with a one-sided Gaussian stroke towards `degrees` (N,).

    This is ImageMagick's MotionBlurImage, which the authors called: 2 * ceil(radius) + 1 taps at whole pixels along the
    stroke, the border repeated. The sum is rounded to 16 bits, then truncated to 8 as its PNG writer does.
    """
    angles = np.deg2rad(degrees)[:, None]
    steps = np.arange(2 * np.ceil(radius) + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    weights /= weights.sum()
    down = np.ceil(steps * np.sin(angles) - 0.5).astype(int)  # (N, taps)
    right = np.ceil(steps * np.cos(angles) - 0.5).astype(int)
    last = images.shape[1] - 1
    place, image = np.arange(last + 1), np.arange(len(images))[:, None, None]
    blurred = np.zeros(images.shape)
    for tap, weight in enumerate(weights):
        rows = np.clip(place + down[:, tap, None], 0, last)  # (N, S)
        columns = np.clip(place + right[:, tap, None], 0, last)
        blurred += weight * images[image, rows[:, :, None], columns[:, None, :]]
    return (np.rint(blurred * 257) // 257).astype(np.uint8)


def zoom_blur(images: np.ndarray, stop: float, rng: np.random.Generator) -> np.ndarray:
    """Average an image and its magnifications by 1, 1.01, 1.02, ..., `stop`.

    There are 7, 12, 16, 21 and 26 magnifications at severities 1-5, since the authors' np.arange oversteps at the first
    two. Magnifying is linear and separable, so one (S * S, S * S) matrix does it all. The matrix is sparse because then
    the last bits of the product do not depend on the number of images.
    """
    side = images.shape[1]
    lines = [np.eye(side), *(magnification(factor, side) for factor in np.arange(1, stop, 0.01))]
    blur = sum(sparse.kron(line, line, format="csr") for line in lines) / len(lines)
    pixels = images.transpose(1, 2, 0, 3).reshape(side * side, -1) / 255
    return to_uint8(blur @ pixels).reshape(side, side, -1, 3).transpose(2, 0, 1, 3)


def magnification(factor: float, side: int) -> np.ndarray:
    """The (side, side) matrix that magnifies the middle of a line of pixels by linear interpolation."""
    kept = int(np.ceil(side / factor))
    start = (side - kept) // 2
    magnified: np.ndarray = ndimage.zoom(np.eye(side)[start : start + kept], (factor, 1), order=1)
    surplus = (len(magnified) - side) // 2
    return magnified[surplus : surplus + side]
