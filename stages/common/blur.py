"""Blurs: lens, frosted glass, movement, and the strokes and magnifications that snow is made of too.

A corruption is a function of images (N, S, S, 3), uint8, the constant of a severity, and a random generator; it
returns the same shape and dtype. An image's randomness must not depend on how many follow it.
"""

import numpy as np
from scipy import ndimage, sparse

from stages.common.pixels import to_uint8


def gaussian_blur(images: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """A Gaussian of `sigma` pixels, cut at 4 sigma; the border is repeated."""
    return to_uint8(ndimage.gaussian_filter(images / 255, sigma, mode="nearest", truncate=4, axes=(1, 2)))


def defocus_blur(images: np.ndarray, disk: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """A disk of (radius, sigma) pixels, its edge softened by a Gaussian cut to three taps; the border is mirrored.

    The weights are float32, as OpenCV's are, because their last bits decide where truncation costs an exact sum one.
    """
    radius, sigma = disk
    offsets = np.arange(-2, 3)  # the widest disk's radius and the pixel that softening adds
    kernel = (offsets[:, None] ** 2 + offsets**2 <= radius**2).astype(np.float32)
    kernel /= kernel.sum()
    taps = np.exp(-(np.arange(-1, 2) ** 2) / (2 * sigma**2))
    taps = (taps / taps.sum()).astype(np.float32)
    for axis in (0, 1):
        kernel = ndimage.correlate1d(kernel, taps, axis, mode="constant")
    return to_uint8(ndimage.correlate(images / 255, kernel[None, :, :, None], mode="mirror"))


def glass_blur(images: np.ndarray, glass: tuple[float, int], rng: np.random.Generator) -> np.ndarray:
    """Blurred, shuffled and blurred again, as (sigma, rounds) say.

    A round has each pixel, the two upper rows and left columns apart, take the value of itself or of a neighbour above,
    to the left, or above left. The authors mean to swap the two pixels, from the last backwards; what they assign are
    views, so that their loop copies, and reads nothing but pixels that it has not come to yet.
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
    """A stroke of (radius, sigma) pixels, each image's at its own angle within 45 degrees of level."""
    return stroked(images, *stroke, rng.uniform(-45, 45, size=len(images)))


def stroked(images: np.ndarray, radius: float, sigma: float, degrees: np.ndarray) -> np.ndarray:
    """`images` (N, S, S, channels), uint8, each under a one-sided Gaussian stroke in its direction, `degrees` (N,).

    ImageMagick's MotionBlurImage, which the authors called: 2 * ceil(radius) + 1 taps at whole pixels along the stroke,
    the border repeated, the sum rounded to 16 bits and then truncated to 8 as its PNG writer does.
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
    """The mean of an image and its magnifications by 1, 1.01, 1.02 and so on to `stop`, as floating point counts.

    That is 7, 12, 16, 21 and 26 magnifications at severities 1-5: the authors' np.arange oversteps at the first two.
    Magnifying is linear in the pixels and separable, so one (S * S, S * S) matrix does all of it; a sparse one, whose
    product has the same last bits however many images there are.
    """
    side = images.shape[1]
    lines = [np.eye(side), *(magnification(factor, side) for factor in np.arange(1, stop, 0.01))]
    blur = sum(sparse.kron(line, line, format="csr") for line in lines) / len(lines)
    pixels = images.transpose(1, 2, 0, 3).reshape(side * side, -1) / 255
    return to_uint8(blur @ pixels).reshape(side, side, -1, 3).transpose(2, 0, 1, 3)


def magnification(factor: float, side: int) -> np.ndarray:
    """The (side, side) matrix that takes a line of pixels to its middle part, magnified by linear interpolation."""
    kept = int(np.ceil(side / factor))
    start = (side - kept) // 2
    magnified = ndimage.zoom(np.eye(side)[start : start + kept], (factor, 1), order=1)
    surplus = (len(magnified) - side) // 2
    return magnified[surplus : surplus + side]
