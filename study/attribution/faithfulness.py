"""Deletion and insertion: does the probability of a class depend on the regions that a map marks?

Petsiuk et al. 2018, "RISE: Randomized Input Sampling for Explanation of Black-box Models". Pixels are taken in order of
heat, hottest first. Deletion replaces them by ImageNet's mean colour: the faster the probability falls, the smaller the
area under its curve. Insertion restores them in a blurred image: the faster the probability rises, the larger the area.
"""

from typing import Literal

import numpy as np
from scipy.ndimage import gaussian_filter
from torch import nn
from tqdm import tqdm

from study.attribution.cam import Method, heatmap
from study.corruption.pixel_values import REFERENCE_SIDE
from study.evaluation.temperature import tempered_softmax
from study.networks.inference import predict
from study.networks.stages import PIXEL_MEAN

Measure = Literal["deletion", "insertion"]
Areas = dict[Measure, np.ndarray]  # float64 (N,) in [0, 1], one area per image

STEPS = 16  # equal shares of pixels, each one cell of a 4x4 map
BLUR = 4.0  # pixels of an image of 32x32, the standard deviation: leaves only patches of colour


def deletion_insertion(
    network: nn.Module,
    images: np.ndarray,
    classes: np.ndarray,
    maps: dict[Method, np.ndarray],
    temperature: float,
    rng: np.random.Generator,
) -> dict[str, Areas]:
    """The areas for each method's maps, float32 (N, h, w), and for the baselines "random" and "centre"."""
    (count, side), cells = images.shape[:2], next(iter(maps.values())).shape[1]
    rivals = baselines(count, cells, side, rng)
    heat = {method: heatmap(of, side) for method, of in maps.items()} | rivals
    return {
        name: areas_of(network, images, classes, of, rivals["random"], temperature)
        for name, of in tqdm(heat.items(), desc="deletion and insertion")
    }


def baselines(count: int, cells: int, side: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Heat (count, side, side) that ignores the model: "random", and "centre", hotter towards the middle.

    Random heat is drawn for `cells` x `cells` cells and interpolated like a map. Random single pixels would be unfair:
    they speckle the image, which lowers the probability of any class at once.
    """
    random = heatmap(rng.random((count, cells, cells), dtype=np.float32), side)
    offset = np.abs(np.arange(side) - (side - 1) / 2)
    centre = 1 - np.hypot(*np.meshgrid(offset, offset)) / side
    return {"random": random, "centre": np.broadcast_to(centre, random.shape)}


def areas_of(
    network: nn.Module,
    images: np.ndarray,
    classes: np.ndarray,
    heat: np.ndarray,
    ties: np.ndarray,
    temperature: float,
) -> Areas:
    """Areas under the curves of the probability of each image's class, softmax(logits / temperature).

    images: uint8 (N, H, W, 3); classes: int64 (N,); heat: (N, H, W). ties: (N, H, W), orders pixels of equal heat: most
    of a map may be zero, and reading order would favour the top.
    """
    mean = np.round(255 * np.array(PIXEL_MEAN)).astype(np.uint8)
    blur = BLUR * images.shape[1] / REFERENCE_SIDE
    blurred = gaussian_filter(images, sigma=(0, blur, blur, 0))
    hottest_first = np.lexsort((-_flat(ties), -_flat(heat)))
    rank = hottest_first.argsort(axis=1).reshape(heat.shape)  # 0 is the hottest pixel
    return {
        "deletion": _area(network, images, np.broadcast_to(mean, images.shape), rank, classes, temperature),
        "insertion": _area(network, blurred, images, rank, classes, temperature),
    }


def _area(
    network: nn.Module,
    before: np.ndarray,
    after: np.ndarray,
    rank: np.ndarray,
    classes: np.ndarray,
    temperature: float,
) -> np.ndarray:
    """The area under the curve from `before` to `after`, as pixels change from one to the other by rank."""
    curve = []
    for step in range(STEPS + 1):
        changed = rank < step / STEPS * rank[0].size
        logits = predict(network, np.where(changed[..., None], after, before))
        curve.append(tempered_softmax(logits, temperature)[np.arange(len(classes)), classes])
    area: np.ndarray = np.trapezoid(curve, dx=1 / STEPS, axis=0)
    return area


def _flat(heat: np.ndarray) -> np.ndarray:
    return heat.reshape(len(heat), -1)
