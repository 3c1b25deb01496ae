"""Weather: snow, frost and fog.

A corruption is a function of images (N, S, S, 3), uint8, the constant of a severity, and a random generator; it
returns the same shape and dtype. An image's randomness must not depend on how many follow it.
"""

from typing import NamedTuple

import numpy as np

from study.corruption.blur import magnification, stroked
from study.corruption.pixel_values import to_uint8

GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # luma of red, green and blue
SEEDED = 0.04  # share of pixels that needles of ice grow from
ICE_COLOUR = np.array([1.2, 0.95, 0.8])  # exponents: the darker, the bluer


class Snowfall(NamedTuple):
    """Flakes are noise of this mean and deviation, magnified by `zoom`, where it reaches `threshold`."""

    mean: float
    deviation: float
    zoom: float
    threshold: float
    radius: float  # of a flake's stroke, in pixels, like sigma
    sigma: float
    kept: float  # share of the image; the rest is whitened


def snow(images: np.ndarray, fall: Snowfall, rng: np.random.Generator) -> np.ndarray:
    """Draw falling flakes, once as they are and once turned by 180 degrees, over a whitened image."""
    for_flakes, for_angles = rng.spawn(2)
    flakes = for_flakes.normal(fall.mean, fall.deviation, size=images.shape[:3])
    closer = magnification(fall.zoom, images.shape[1])
    flakes = closer @ flakes @ closer.T
    flakes[flakes < fall.threshold] = 0
    falling = stroked(to_uint8(flakes)[..., None], fall.radius, fall.sigma, for_angles.uniform(-135, -45, len(images)))
    falling = falling / 255
    pixels = images / np.float32(255)
    white = np.maximum(pixels, 1.5 * (pixels @ GREY)[..., None] + np.float32(0.5))
    whitened = np.float32(fall.kept) * pixels + np.float32(1 - fall.kept) * white
    return to_uint8(whitened + falling + falling[:, ::-1, ::-1])


def frost(images: np.ndarray, mixture: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Add ice as CIFAR-10-C does, but our own. mixture: (share of the image, share of ice).

    The authors crop ice from five photographs that this project cannot ship. `_ice` replaces them, so results are not
    comparable with their frost.
    """
    of_image, of_ice = mixture
    return to_uint8(of_image * (images / 255) + of_ice * _ice(len(images), images.shape[1], rng))


def _ice(count: int, side: int, rng: np.random.Generator) -> np.ndarray:
    """Ice flowers on a window, (count, side, side, 3) in [0, 1], of random thickness and direction per picture.

    They are patches of rime, and needles that taper off in six directions, 60 degrees apart like a crystal's. Colour
    and contrast are close to those of the authors' photographs at this size: means of 0.56, 0.65 and 0.69 in red, green
    and blue, deviations of 0.09 within and 0.15 between pictures.
    """
    for_thickness, for_rime, for_seeds, for_angles = rng.spawn(4)
    thickness = for_thickness.uniform(0.25, 0.85, size=(count, 1, 1))
    rime = _plasma(count, side, 1.5, for_rime) - 0.5
    chance = for_seeds.random((count, side, side))
    seeds = to_uint8((chance - (1 - SEEDED)) / SEEDED)[..., None]
    first = for_angles.uniform(0, 60, count)
    strokes = (stroked(seeds, 6, 5, first + turn) / 255 for turn in range(0, 360, 60))
    needles = sum(strokes, start=np.zeros(seeds.shape))[..., 0]
    ice: np.ndarray = np.clip(thickness + 0.1 * rime + 0.8 * needles, 0, 1)[..., None] ** ICE_COLOUR
    return ice


def fog(images: np.ndarray, density: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Add white haze, then rescale to the image's own brightness. density: (amount, decay)."""
    amount, decay = density
    pixels = images / 255
    brightest = pixels.max(axis=(1, 2, 3), keepdims=True)
    haze = amount * _plasma(len(images), images.shape[1], decay, rng)[..., None]
    return to_uint8((pixels + haze) * brightest / (brightest + amount))


def _plasma(count: int, side: int, decay: float, rng: np.random.Generator) -> np.ndarray:
    """Fractal clouds (count, side, side), each stretched to [0, 1]: the diamond-square algorithm on a torus.

    The side of the torus is a power of two; a smaller image is cut from it. A point is the mean of its four neighbours
    half a step away, plus noise, which shrinks by decay**2 as the step halves. Every point is set once, so one field of
    noise, drawn beforehand, serves all steps.
    """
    step = 1 << (side - 1).bit_length()
    noise = rng.uniform(-1, 1, size=(count, step, step))
    heights = np.zeros_like(noise)
    amplitude = 1.0
    while step >= 2:
        on, off = slice(0, None, step), slice(step // 2, None, step)
        corners = heights[:, on, on]
        pairs = corners + np.roll(corners, -1, axis=1)
        centres = (pairs + np.roll(pairs, -1, axis=2)) / 4 + amplitude * noise[:, off, off]
        heights[:, off, off] = centres
        for rows, columns, across, along in ((on, off, 1, 2), (off, on, 2, 1)):
            neighbours = centres + np.roll(centres, 1, across) + corners + np.roll(corners, -1, along)
            heights[:, rows, columns] = neighbours / 4 + amplitude * noise[:, rows, columns]
        step //= 2
        amplitude /= decay**2
    heights = heights[:, :side, :side]
    heights -= heights.min(axis=(1, 2), keepdims=True)
    clouds: np.ndarray = heights / heights.max(axis=(1, 2), keepdims=True)
    return clouds
