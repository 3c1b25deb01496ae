"""Colour, geometry and compression.

A corruption is a function of images (N, S, S, 3), uint8, the constant of a severity, and a random generator; it
returns the same shape and dtype. An image's randomness must not depend on how many follow it.
"""

from collections.abc import Callable
from io import BytesIO
from typing import Literal

import numpy as np
from PIL import Image
from scipy import ndimage

from study.corruption.pixel_values import REFERENCE_SIDE, to_uint8

CORNERS = np.array([[26, 26], [26, 6], [6, 6]], dtype=float)  # x and y, in pixels of 32, around the centre (16, 16)


def brightness(images: np.ndarray, added: float, rng: np.random.Generator) -> np.ndarray:
    """Add `added` to the value in HSV."""
    hue, saturation, value = _hsv(images / 255)
    return to_uint8(_rgb(hue, saturation, np.clip(value + added, 0, 1)))


def saturate(images: np.ndarray, change: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Scale the saturation by the first number, then add the second. A grey pixel counts as red, which is hue 0."""
    factor, added = change
    hue, saturation, value = _hsv(images / 255)
    return to_uint8(_rgb(hue, np.clip(factor * saturation + added, 0, 1), value))


def _hsv(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hue (..., 3), saturation (..., 1) and value (..., 1) of `pixels` (..., 3) in [0, 1].

    Hue is how far each channel lies below the highest, as a share of the distance between highest and lowest.
    """
    value = pixels.max(axis=-1, keepdims=True)
    chroma = value - pixels.min(axis=-1, keepdims=True)
    coloured = chroma > 0
    hue = np.where(coloured, (value - pixels) / np.where(coloured, chroma, 1), (0, 1, 1))
    return hue, chroma / np.where(coloured, value, 1), value


def _rgb(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    pixels: np.ndarray = value * (1 - saturation * hue)
    return pixels


def contrast(images: np.ndarray, factor: float, rng: np.random.Generator) -> np.ndarray:
    """Scale the distance from each channel's mean over the image by `factor`."""
    pixels = images / 255
    mean = pixels.mean(axis=(1, 2), keepdims=True)
    return to_uint8((pixels - mean) * factor + mean)


def elastic_transform(images: np.ndarray, warp: tuple[float, float, float], rng: np.random.Generator) -> np.ndarray:
    """Apply a random affine map, then a smooth random displacement. warp: (amplitude, sigma, corner shift).

    All three are in pixels of a 32-pixel image and scale with the side: the authors give them as shares of it. The
    affine map moves three corners of a 20-pixel square, each coordinate by a uniform draw of up to `corner shift`.
    """
    side = images.shape[1]
    amplitude, sigma, shift = (of_32 * (side / REFERENCE_SIDE) for of_32 in warp)
    corners = CORNERS * (side / REFERENCE_SIDE)
    for_corners, for_rows, for_columns = rng.spawn(3)
    place = np.arange(side, dtype=float)
    moved = corners + for_corners.uniform(-shift, shift, size=(len(images), 3, 2))
    # (N, 3, 2): maps (x, y, 1) of a pixel back to its source x and y.
    back = np.linalg.solve(np.concatenate([moved, np.ones((len(images), 3, 1))], axis=2), corners)
    x, y = np.moveaxis(back, 2, 0)[..., None, None]
    rows, columns = (of[:, 0] * place + of[:, 1] * place[:, None] + of[:, 2] for of in (y, x))
    pixels = sampled(images / np.float32(255), rows, columns, border="reflect")
    if amplitude:
        down, right = (
            amplitude
            * ndimage.gaussian_filter(
                each.uniform(-1, 1, size=images.shape[:3]), sigma, mode="reflect", truncate=3, axes=(1, 2)
            )
            for each in (for_rows, for_columns)
        )
        pixels = sampled(pixels, place[:, None] + down, place + right, border="symmetric")
    return to_uint8(pixels)


def sampled(
    pixels: np.ndarray, rows: np.ndarray, columns: np.ndarray, border: Literal["reflect", "symmetric"]
) -> np.ndarray:
    """Interpolate `pixels` (N, S, S, 3) bilinearly at `rows` and `columns` (N, S, S), at most S pixels outside.

    border: "reflect" mirrors at the centres of the outermost pixels, "symmetric" at their edges, as in np.pad.
    """
    side = pixels.shape[1]
    within = np.pad(np.arange(side), side + 1, mode=border)
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    down, right = (rows - top)[..., None].astype(np.float32), (columns - left)[..., None].astype(np.float32)
    image = np.arange(len(pixels))[:, None, None]

    def at(row: np.ndarray, column: np.ndarray) -> np.ndarray:
        found: np.ndarray = pixels[image, within[row + side + 1], within[column + side + 1]]
        return found

    above = at(top, left) * (1 - right) + at(top, left + 1) * right
    below = at(top + 1, left) * (1 - right) + at(top + 1, left + 1) * right
    between: np.ndarray = above * (1 - down) + below * down
    return between


def pixelate(images: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """Shrink to `side` pixels of 32 and enlarge again, by box averages."""
    box, kept = Image.Resampling.BOX, int(side * images.shape[1] / REFERENCE_SIDE)
    return _each(images, lambda image: image.resize((kept, kept), box).resize(image.size, box))


def jpeg_compression(images: np.ndarray, quality: int, rng: np.random.Generator) -> np.ndarray:
    """Compress as JPEG of this quality, with colour at half resolution, and read again."""

    def compressed(image: Image.Image) -> Image.Image:
        file = BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return _each(images, compressed)


def _each(images: np.ndarray, change: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    return np.stack([np.asarray(change(Image.fromarray(image))) for image in images])
