"""Water and mud on the lens: CIFAR-10-C's spatter, whose water is a chain of OpenCV's operations.

OpenCV is not needed at run time. Its Canny edges, chamfer distance and histogram equalisation are reimplemented here
for whole batches, and tests compare each with OpenCV's own, value by value.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from study.corruption.pixel_values import to_uint8

WATER = np.array([175, 238, 238], dtype=np.float32) / 255  # pale turquoise
MUD = np.array([63, 42, 20], dtype=np.float32) / 255
FARTHEST = 20  # pixels: distances from the rim of a drop are capped at this
ASIDE, ACROSS, KNIGHT = np.float32(1), np.float32(1.4), np.float32(2.1969)  # pixels: OpenCV's step lengths
FROM_ROWS_BEFORE = (
    (1, 0, ASIDE),
    *((1, aside, ACROSS) for aside in (-1, 1)),
    *((1, aside, KNIGHT) for aside in (-2, 2)),
    *((2, aside, KNIGHT) for aside in (-1, 1)),
)
NOWHERE = np.float32(1000)  # pixels: farther than any distance in a small image
SOBEL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])  # rightwards
EMBOSS = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])


class Splash(NamedTuple):
    """Drops are where noise of this mean and deviation, smoothed by `sigma` pixels, reaches `threshold`."""

    mean: float
    deviation: float
    sigma: float
    threshold: float
    strength: float  # water: its highest opacity; mud: the sigma in pixels that smooths its rim
    mud: bool


def spatter(images: np.ndarray, splash: Splash, rng: np.random.Generator) -> np.ndarray:
    """Put drops on the image: of water, lit from one side, or of mud."""
    noise = rng.normal(splash.mean, splash.deviation, size=images.shape[:3])
    drops = ndimage.gaussian_filter(noise, splash.sigma, mode="nearest", truncate=4, axes=(1, 2))
    drops[drops < splash.threshold] = 0
    pixels = images / np.float32(255)
    if splash.mud:
        cover = np.where(drops > splash.threshold, np.float32(1), np.float32(0))
        cover = ndimage.gaussian_filter(cover, splash.strength, mode="nearest", truncate=4, axes=(1, 2))[..., None]
        cover[cover < 0.8] = 0
        return to_uint8(pixels * (1 - cover) + MUD * cover)
    depth = (255 * drops).astype(np.int64).astype(np.uint8)  # above 255 it wraps around, like the authors' cast
    light = depth * _relief(depth).astype(np.float32)
    brightest = light.max(axis=(1, 2), keepdims=True)
    light = np.divide(light, brightest, out=light, where=brightest > 0) * np.float32(splash.strength)
    return to_uint8(pixels + light[..., None] * WATER)


def _relief(depth: np.ndarray) -> np.ndarray:
    """The brightness of drops, uint8 (N, S, S): the distance from their rims, in slanting light."""
    distance = np.minimum(distance_from(canny_edges(depth, 50, 150)), FARTHEST).astype(float)
    distance = equalised((_sum_of_nine(distance) / 9).astype(np.uint8))
    slanted = ndimage.correlate(distance.astype(int), EMBOSS[None], mode="mirror").clip(0, 255)
    return (2 * _sum_of_nine(slanted) + 9) // 18  # the mean of nine, rounded


def _sum_of_nine(values: np.ndarray) -> np.ndarray:
    """The sum over the 3x3 pixels around each of (N, H, W), the border mirrored."""
    sums: np.ndarray = ndimage.correlate(values, np.ones((1, 3, 3), dtype=values.dtype), mode="mirror")
    return sums


def canny_edges(images: np.ndarray, low: int, high: int) -> np.ndarray:
    """The edges that OpenCV's Canny finds in grey images, uint8 (N, H, W): bool of the same shape.

    Sobel gradients, with the border repeated, have the size |dx| + |dy|. A pixel is on an edge if its size exceeds
    `low`, is the largest across the edge, and is connected to one above `high`.
    """
    right, down = (ndimage.correlate(images.astype(int), sobel[None], mode="nearest") for sobel in (SOBEL, SOBEL.T))
    size = np.abs(right) + np.abs(down)
    padded = np.pad(size, [(0, 0), (1, 1), (1, 1)])

    def beside(rows: int, columns: int) -> np.ndarray:
        height, width = size.shape[1:]
        return padded[:, 1 + rows : 1 + rows + height, 1 + columns : 1 + columns + width]

    tangent = 13573 * np.abs(right)  # tan(22.5 degrees) in OpenCV's 15 bits
    steep = np.abs(down) << 15
    level = steep < tangent
    upright = steep > tangent + (np.abs(right) << 16)
    falling = (right ^ down) >= 0
    largest = np.select(
        [level, upright, falling],
        [
            (size > beside(0, -1)) & (size >= beside(0, 1)),
            (size > beside(-1, 0)) & (size >= beside(1, 0)),
            (size > beside(-1, -1)) & (size > beside(1, 1)),
        ],
        (size > beside(-1, 1)) & (size > beside(1, -1)),
    )
    possible = largest & (size > low)
    edges: np.ndarray = ndimage.binary_propagation(possible & (size > high), np.ones((1, 3, 3)), mask=possible)
    return edges


def distance_from(edges: np.ndarray) -> np.ndarray:
    """Each pixel's distance in pixels from the nearest edge, NOWHERE without one. edges: bool (N, H, W); float32.

    This is OpenCV's distanceTransform with a 5x5 mask: a chamfer distance with steps of 1 (side), 1.4 (diagonal) and
    2.1969 (knight's move), found in one pass down the rows and one back up. It is float32, because its last bits decide
    how a mean near an integer is truncated.
    """
    height, width = edges.shape[1:]
    distance = np.full((len(edges), height + 4, width + 4), NOWHERE, dtype=np.float32)
    distance[:, 2:-2, 2:-2][edges] = 0
    for view in (distance, distance[:, ::-1, ::-1]):
        for row in range(2, height + 2):
            for back, aside, cost in FROM_ROWS_BEFORE:
                reached = view[:, row - back, 2 + aside : 2 + aside + width] + cost
                np.minimum(view[:, row, 2:-2], reached, out=view[:, row, 2:-2])
            for column in range(2, width + 2):
                np.minimum(view[:, row, column], view[:, row, column - 1] + ASIDE, out=view[:, row, column])
    return np.minimum(distance[:, 2:-2, 2:-2], NOWHERE)


def equalised(images: np.ndarray) -> np.ndarray:
    """Equalise the histograms of grey images, uint8 (N, H, W), over 0-255, as OpenCV's equalizeHist does."""
    count = images[0].size
    values = images.reshape(len(images), count).astype(int)
    bins = 256 * np.arange(len(images))[:, None]
    histogram = np.bincount((values + bins).ravel(), minlength=256 * len(images)).reshape(-1, 256)
    lowest = np.take_along_axis(histogram, values.min(axis=1, keepdims=True), axis=1)
    scale = np.float32(255) / np.maximum(count - lowest, 1).astype(np.float32)
    spread = np.rint((histogram.cumsum(axis=1) - lowest).astype(np.float32) * scale).clip(0, 255)
    spread = np.where(lowest == count, np.arange(256), spread)  # an image of a single value keeps it
    return np.take_along_axis(spread, values, axis=1).reshape(images.shape).astype(np.uint8)
