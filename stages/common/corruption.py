"""Common corruptions of 32x32 images, with the formulas and severities of CIFAR-10-C.

Hendrycks & Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations"; the
constants are those of the authors' make_cifar_c.py, which differ from ImageNet-C's. The official files were drawn from
an unseeded generator and cannot be regenerated bit by bit: what comes out of here is CIFAR-10-C-style. Of the
benchmark's 15 corruptions glass blur, snow, frost and elastic transform are missing, of its four extra ones spatter.

A corruption is a function of images (N, 32, 32, 3), uint8, the constant of a severity, and a random generator; it
returns the same shape and dtype. Like the authors' it computes in [0, 1], clips, and truncates to uint8.
"""

from collections.abc import Callable
from io import BytesIO
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from PIL import Image
from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError
from scipy import ndimage

from stages.common.params import Block

SIDE = 32  # pixels: the constants below mean something at this size only
SEVERITIES = range(1, 6)


def corrupt(images: np.ndarray, name: str, severity: int, seed: int) -> np.ndarray:
    """`images` (N, 32, 32, 3), uint8, under corruption `name` at `severity` 1-5, as an array of the same kind.

    The randomness depends on name, severity and seed alone, and an image's on its place in the batch: not on which
    other corruptions are applied, nor on the images that follow it.
    Raises ValueError, quoting what it got, for an unknown name, a severity out of range or other images.
    """
    if name not in CORRUPTIONS:
        raise ValueError(f"unknown corruption {name!r}: choose from {', '.join(CORRUPTIONS)}")
    if severity not in SEVERITIES:
        raise ValueError(f"severity must be 1, 2, 3, 4 or 5, got {severity!r}")
    if images.dtype != np.uint8 or images.shape[1:] != (SIDE, SIDE, 3):
        raise ValueError(f"images must be uint8 (N, {SIDE}, {SIDE}, 3), got {images.dtype} {images.shape}")
    corruption = CORRUPTIONS[name]
    rng = np.random.default_rng([seed, severity, *name.encode()])
    return corruption.apply(images, corruption.constants[severity - 1], rng)


def gaussian_noise(images: np.ndarray, scale: float, rng: np.random.Generator) -> np.ndarray:
    """Independent normal noise of standard deviation `scale` on every channel."""
    return _uint8(images / 255 + rng.normal(scale=scale, size=images.shape))


def shot_noise(images: np.ndarray, photons: float, rng: np.random.Generator) -> np.ndarray:
    """Poisson counts of `photons` at full brightness."""
    return _uint8(rng.poisson(images / 255 * photons) / photons)


def impulse_noise(images: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """A share `amount` of the values, each channel for itself, half set to 0 and half to 255."""
    chance = rng.random(images.shape)
    return np.where(chance < amount / 2, 0, np.where(chance >= 1 - amount / 2, 255, images)).astype(np.uint8)


def speckle_noise(images: np.ndarray, scale: float, rng: np.random.Generator) -> np.ndarray:
    """Normal noise in proportion to the value."""
    pixels = images / 255
    return _uint8(pixels + pixels * rng.normal(scale=scale, size=images.shape))


def gaussian_blur(images: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """A Gaussian of `sigma` pixels, cut at 4 sigma; the border is repeated."""
    return _uint8(ndimage.gaussian_filter(images / 255, sigma, mode="nearest", truncate=4, axes=(1, 2)))


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
    return _uint8(ndimage.correlate(images / 255, kernel[None, :, :, None], mode="mirror"))


def motion_blur(images: np.ndarray, stroke: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """A one-sided Gaussian stroke of (radius, sigma) pixels, each image's at its own angle within 45 degrees of level.

    ImageMagick's MotionBlurImage, which the authors called: 2 * ceil(radius) + 1 taps at whole pixels along the stroke,
    the border repeated, the sum rounded to 16 bits and then truncated to 8 as its PNG writer does.
    """
    radius, sigma = stroke
    angles = np.deg2rad(rng.uniform(-45, 45, size=(len(images), 1)))
    steps = np.arange(2 * np.ceil(radius) + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    weights /= weights.sum()
    down = np.ceil(steps * np.sin(angles) - 0.5).astype(int)  # (N, taps)
    right = np.ceil(steps * np.cos(angles) - 0.5).astype(int)
    place, image = np.arange(SIDE), np.arange(len(images))[:, None, None]
    blurred = np.zeros(images.shape)
    for tap, weight in enumerate(weights):
        rows = np.clip(place + down[:, tap, None], 0, SIDE - 1)  # (N, 32)
        columns = np.clip(place + right[:, tap, None], 0, SIDE - 1)
        blurred += weight * images[image, rows[:, :, None], columns[:, None, :]]
    return (np.rint(blurred * 257) // 257).astype(np.uint8)


def zoom_blur(images: np.ndarray, stop: float, rng: np.random.Generator) -> np.ndarray:
    """The mean of an image and its magnifications by 1, 1.01, 1.02 and so on to `stop`, as floating point counts.

    That is 7, 12, 16, 21 and 26 magnifications at severities 1-5: the authors' np.arange oversteps at the first two.
    Magnifying is linear in the pixels and separable, so one (1024, 1024) matrix does all of it.
    """
    magnifications = [np.eye(SIDE), *(_magnification(factor) for factor in np.arange(1, stop, 0.01))]
    blur = sum(np.kron(matrix, matrix) for matrix in magnifications) / len(magnifications)
    pixels = images.reshape(len(images), SIDE * SIDE, 3) / 255
    return _uint8(np.tensordot(pixels, blur, axes=(1, 1)).transpose(0, 2, 1).reshape(images.shape))


def _magnification(factor: float) -> np.ndarray:
    """The (32, 32) matrix that takes a line of pixels to its middle part, magnified by linear interpolation."""
    kept = int(np.ceil(SIDE / factor))
    start = (SIDE - kept) // 2
    magnified = ndimage.zoom(np.eye(SIDE)[start : start + kept], (factor, 1), order=1)
    surplus = (len(magnified) - SIDE) // 2
    return magnified[surplus : surplus + SIDE]


def fog(images: np.ndarray, density: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """White haze of (amount, decay), then rescaled so that nothing is brighter than the image was."""
    amount, decay = density
    pixels = images / 255
    brightest = pixels.max(axis=(1, 2, 3), keepdims=True)
    haze = amount * _plasma(len(images), decay, rng)[..., None]
    return _uint8((pixels + haze) * brightest / (brightest + amount))


def _plasma(count: int, decay: float, rng: np.random.Generator) -> np.ndarray:
    """Fractal clouds (count, 32, 32), each stretched to [0, 1]: the diamond-square algorithm on a torus.

    A point is the mean of its four neighbours half a step away plus noise, which shrinks by decay**2 as the step
    halves. Every point is set once, so one field of noise, drawn beforehand, serves all steps.
    """
    noise = rng.uniform(-1, 1, size=(count, SIDE, SIDE))
    heights = np.zeros_like(noise)
    step, amplitude = SIDE, 1.0
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
    heights -= heights.min(axis=(1, 2), keepdims=True)
    return heights / heights.max(axis=(1, 2), keepdims=True)


def brightness(images: np.ndarray, added: float, rng: np.random.Generator) -> np.ndarray:
    """`added` to the value of hue, saturation, value."""
    hue, saturation, value = _hsv(images / 255)
    return _uint8(_rgb(hue, saturation, np.clip(value + added, 0, 1)))


def saturate(images: np.ndarray, change: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Saturation times the first number plus the second. A grey pixel counts as red, as its hue 0 makes it."""
    factor, added = change
    hue, saturation, value = _hsv(images / 255)
    return _uint8(_rgb(hue, np.clip(factor * saturation + added, 0, 1), value))


def _hsv(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hue (..., 3), saturation (..., 1) and value (..., 1) of `pixels` (..., 3) in [0, 1].

    Hue as how far each channel lies below the highest, in units of the distance between highest and lowest.
    """
    value = pixels.max(axis=-1, keepdims=True)
    chroma = value - pixels.min(axis=-1, keepdims=True)
    coloured = chroma > 0
    hue = np.where(coloured, (value - pixels) / np.where(coloured, chroma, 1), (0, 1, 1))
    return hue, chroma / np.where(coloured, value, 1), value


def _rgb(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    return value * (1 - saturation * hue)


def contrast(images: np.ndarray, factor: float, rng: np.random.Generator) -> np.ndarray:
    """The distance from each channel's mean over the image, times `factor`."""
    pixels = images / 255
    mean = pixels.mean(axis=(1, 2), keepdims=True)
    return _uint8((pixels - mean) * factor + mean)


def pixelate(images: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """Shrunk to `side` pixels and back, each value a mean over the box that it covers."""
    box = Image.Resampling.BOX
    return _each(images, lambda image: image.resize((side, side), box).resize((SIDE, SIDE), box))


def jpeg_compression(images: np.ndarray, quality: int, rng: np.random.Generator) -> np.ndarray:
    """Written as JPEG of this quality, colour at half the resolution, and read again."""

    def compressed(image: Image.Image) -> Image.Image:
        file = BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return _each(images, compressed)


def _uint8(pixels: np.ndarray) -> np.ndarray:
    return (np.clip(pixels, 0, 1) * 255).astype(np.uint8)


def _each(images: np.ndarray, change: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    return np.stack([np.asarray(change(Image.fromarray(image))) for image in images])


class Corruption(NamedTuple):
    """A corruption and its constant at severities 1-5."""

    apply: Callable[[np.ndarray, Any, np.random.Generator], np.ndarray]
    constants: tuple[Any, Any, Any, Any, Any]


CORRUPTIONS = {  # first those of the benchmark, then its extra ones, each in the paper's order
    "gaussian_noise": Corruption(gaussian_noise, (0.04, 0.06, 0.08, 0.09, 0.10)),
    "shot_noise": Corruption(shot_noise, (500, 250, 100, 75, 50)),
    "impulse_noise": Corruption(impulse_noise, (0.01, 0.02, 0.03, 0.05, 0.07)),
    "defocus_blur": Corruption(defocus_blur, ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))),
    "motion_blur": Corruption(motion_blur, ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))),
    "zoom_blur": Corruption(zoom_blur, (1.06, 1.11, 1.16, 1.21, 1.26)),
    "fog": Corruption(fog, ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75))),
    "brightness": Corruption(brightness, (0.05, 0.1, 0.15, 0.2, 0.3)),
    "contrast": Corruption(contrast, (0.75, 0.5, 0.4, 0.3, 0.15)),
    "pixelate": Corruption(pixelate, (30, 28, 27, 24, 20)),
    "jpeg_compression": Corruption(jpeg_compression, (80, 65, 58, 50, 40)),
    "speckle_noise": Corruption(speckle_noise, (0.06, 0.1, 0.12, 0.16, 0.2)),
    "gaussian_blur": Corruption(gaussian_blur, (0.4, 0.6, 0.7, 0.8, 1)),
    "saturate": Corruption(saturate, ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2))),
}


class CorruptEval(Block):
    """`corrupt_eval`: what the models are tried on."""

    corruptions: Annotated[list[Literal[*CORRUPTIONS]], Field(min_length=1)]
    images: Annotated[int, Field(ge=10)]  # of the test split, each once per corruption and severity
    seed: Annotated[int, Field(ge=0, lt=2**32)]

    @field_validator("corruptions")
    @classmethod
    def _names_each_once(cls, names: list[str]) -> list[str]:
        if len(set(names)) < len(names):
            raise PydanticCustomError("repeated", "each corruption may be named once")
        return names
