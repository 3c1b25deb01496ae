"""Noise and cut-outs, which ignore the image's content.

A corruption is a function of images (N, S, S, 3), uint8, the constant of a severity, and a random generator; it
returns the same shape and dtype. An image's randomness must not depend on how many follow it.
"""

import numpy as np

from study.corruption.pixel_values import REFERENCE_SIDE, to_uint8


def gaussian_noise(images: np.ndarray, scale: float, rng: np.random.Generator) -> np.ndarray:
    """Add independent normal noise of standard deviation `scale` to every channel."""
    return to_uint8(images / 255 + rng.normal(scale=scale, size=images.shape))


def shot_noise(images: np.ndarray, photons: float, rng: np.random.Generator) -> np.ndarray:
    """Replace values by Poisson counts, with a mean of `photons` at full brightness."""
    return to_uint8(rng.poisson(images / 255 * photons) / photons)


def impulse_noise(images: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Set a share `amount` of the values to 0 or 255, half each, independently per channel."""
    chance = rng.random(images.shape)
    return np.where(chance < amount / 2, 0, np.where(chance >= 1 - amount / 2, 255, images)).astype(np.uint8)


def speckle_noise(images: np.ndarray, scale: float, rng: np.random.Generator) -> np.ndarray:
    """Add normal noise in proportion to the value."""
    pixels = images / 255
    return to_uint8(pixels + pixels * rng.normal(scale=scale, size=images.shape))


def occlusion(images: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """Put a grey square at a random place inside each image: DeVries & Taylor's cut-out. Not part of CIFAR-10-C.

    side: in pixels of a 32-pixel image; it scales with the image's side.
    """
    size = images.shape[1]
    side = round(side * size / REFERENCE_SIDE)
    corners = rng.integers(0, size - side + 1, size=(len(images), 2))[..., None]  # (N, 2, 1)
    rows, columns = np.moveaxis((np.arange(size) >= corners) & (np.arange(size) < corners + side), 1, 0)
    return np.where((rows[:, :, None] & columns[:, None, :])[..., None], np.uint8(128), images)
