"""What report.html is made of, and what it carries for its script: predictions, pictures and maps, packed small.

Confidences stay 32 bits wide: with fewer, the ECE that the page computes would differ in its last digit from the one
that the tables give. Probabilities of single pictures are whole numbers of 1/65535.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from PIL import Image

from study.data.splits import Facts
from study.drawing.heatmap_gallery import COLOURS
from study.evaluation.predictions import Predictions
from study.evaluation.robustness import counted
from study.evaluation.temperature import tempered_softmax
from study.pipeline.files import read_json
from study.reporting.results import Results
from study.reporting.results_table import Summary

SPRITE_COLUMNS = 30
LARGEST = 64  # pixels a side of a picture on the page, which holds hundreds
EXPLORED = 10  # pictures to corrupt, at most


class Gallery(NamedTuple):
    """Test pictures to look at: their rows among the test images, int64 (M,); uint8 images (M, S, S, 3); and Grad-CAM
    of each for the class that the published variant predicts, not negative, (M, h, w)."""

    rows: np.ndarray
    images: np.ndarray
    maps: np.ndarray


class Explorer(NamedTuple):
    """Test pictures under K conditions, of which the first is no corruption.

    conditions: (corruption, severity) of each; labels: int64 (M,); images: uint8 (M, K, S, S, 3); logits: float32
    (M, K, C) of each variant.
    """

    conditions: list[tuple[str, int]]
    labels: np.ndarray
    images: np.ndarray
    logits: dict[str, np.ndarray]


class Study(NamedTuple):
    """A whole study.

    params: the blocks of params.yaml that made the results, with `freeze`; facts: of the dataset; measured: what
    metrics/*.json hold, by the name of the file; predictions: of each variant on the test images; test_images: uint8
    (N, H, W, 3).
    """

    params: Mapping[str, Any]
    facts: Facts
    results: Results
    measured: Mapping[str, Mapping[str, Any]]
    predictions: Mapping[str, Predictions]
    gallery: Gallery
    explorer: Explorer
    test_images: np.ndarray

    @property
    def freeze(self) -> str:
        """The published variant."""
        return str(self.params["freeze"])


def load_gallery(root: Path) -> Gallery:
    with np.load(root / "results/gradcam/gallery.npz") as chosen, np.load(root / "data/subset/test.npz") as test:
        return Gallery(chosen["index"], bounded(test["images"][chosen["index"]]), chosen["maps"])


def load_explorer(root: Path, variants: Iterable[str], published: str) -> Explorer:
    """The pictures of `to_explore` under the corruptions that count in the means. published: one of the variants."""
    folder = root / "data/corrupted"  # in the format of study.corruption.corrupted_set
    conditions, labels = pd.DataFrame(read_json(folder / "conditions.json")), np.load(folder / "labels.npy")
    images = np.load(folder / "images.npy", mmap_mode="r")
    logits = {
        variant: np.load(root / f"results/corruption/{variant}/logits.npy", mmap_mode="r") for variant in variants
    }
    rows = to_explore(labels, logits[published][0].argmax(axis=1) == labels)
    kept = [0, *counted(conditions).index]
    place = np.ix_(kept, rows)
    return Explorer(
        list(zip(conditions["corruption"][kept], conditions["severity"][kept].tolist(), strict=True)),
        labels[rows],
        np.stack([bounded(images[kept, row]) for row in rows]),
        {variant: of[place].swapaxes(0, 1) for variant, of in logits.items()},
    )


def to_explore(labels: np.ndarray, right: np.ndarray) -> list[int]:
    """Of the first EXPLORED classes that have images, the row of the first that is classified right, else of the first.

    >>> to_explore(np.array([1, 0, 0, 1]), np.array([False, False, True, False]))
    [2, 0]
    """
    rows = [np.flatnonzero(labels == label) for label in np.unique(labels)[:EXPLORED]]
    return [int(of_class[right[of_class].argmax()]) for of_class in rows]


def packed_predictions(predictions: Mapping[str, Predictions], summary: Summary) -> dict[str, Any]:
    """Of each test image its label, and per variant the class predicted and the confidence before and after scaling."""
    (labels, *_) = (of_variant.labels for of_variant in predictions.values())
    return {
        "labels": pack(labels, "<u1"),
        "of": {
            variant: {
                "predicted": pack(logits.argmax(axis=1), "<u1"),
                "before": pack(tempered_softmax(logits).max(axis=1), "<f4"),
                "after": pack(tempered_softmax(logits, summary[variant]["temperature"]).max(axis=1), "<f4"),
            }
            for variant, (logits, _) in predictions.items()
        },
    }


def packed_gallery(gallery: Gallery, predictions: Mapping[str, Predictions], summary: Summary) -> dict[str, Any]:
    peaks = np.maximum(gallery.maps.max(axis=(1, 2), keepdims=True).astype(np.float64), np.finfo(np.float64).tiny)
    colours = matplotlib.colormaps[COLOURS](np.arange(256), bytes=True)[:, :3]
    return {
        "index": pack(gallery.rows, "<u4"),
        "sprite": sprite(gallery.images),
        "columns": SPRITE_COLUMNS,
        "size": gallery.images.shape[1],
        "maps": pack(np.round(255 * (gallery.maps / peaks)), "<u1"),
        "map_shape": gallery.maps.shape[1:],
        "colours": pack(colours, "<u1"),
        "probabilities": {
            variant: packed_probabilities(logits[gallery.rows], summary[variant]["temperature"])
            for variant, (logits, _) in predictions.items()
        },
    }


def packed_explorer(explorer: Explorer, summary: Summary) -> dict[str, Any]:
    """A sprite per picture, which has its conditions in order; probabilities in the order of the logits."""
    return {
        "conditions": explorer.conditions,
        "labels": explorer.labels.tolist(),
        "sprites": [sprite(images, quality=75) for images in explorer.images],
        "columns": SPRITE_COLUMNS,
        "size": explorer.images.shape[2],
        "probabilities": {
            variant: packed_probabilities(logits.reshape(-1, logits.shape[-1]), summary[variant]["temperature"])
            for variant, logits in explorer.logits.items()
        },
    }


def packed_probabilities(logits: np.ndarray, temperature: float) -> str:
    """Calibrated, in 1/65535. logits: (N, C)."""
    return pack(np.round(65535 * tempered_softmax(logits, temperature)), "<u2")


def bounded(images: np.ndarray) -> np.ndarray:
    """Images uint8 (M, S, S, 3), brought to LARGEST pixels a side where they have more."""
    if images.shape[1] <= LARGEST:
        return images
    size = LARGEST, LARGEST
    return np.stack([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)) for image in images])


def pack(array: np.ndarray, kind: str) -> str:
    """The bytes of the array, as little-endian `kind` in row order, in base64.

    >>> pack(np.array([1, 256]), "<u2")
    'AQAAAQ=='
    """
    return b64encode(np.ascontiguousarray(array, dtype=kind).tobytes()).decode()


def sprite(images: np.ndarray, columns: int = SPRITE_COLUMNS, quality: int = 85) -> str:
    """Images uint8 (M, H, W, 3) side by side, line after line, as the data URL of one lossy WebP."""
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    sheet = np.zeros((rows * columns, height, width, channels), dtype=np.uint8)
    sheet[:count] = images
    sheet = sheet.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    picture = Image.fromarray(sheet.reshape(rows * height, columns * width, channels))
    return webp(picture, quality=quality)


def webp(picture: Image.Image, quality: int, lossless: bool = False) -> str:
    """The picture as a data URL."""
    file = BytesIO()
    picture.save(file, "WEBP", lossless=lossless, quality=quality, method=6)
    return f"data:image/webp;base64,{b64encode(file.getvalue()).decode()}"
