"""The galleries of images with their maps: by class, by method, and clean beside corrupted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from study.attribution.cam import TITLES, Method, heatmap
from study.drawing.heatmap_gallery import Picture, draw_gallery, overlay
from study.drawing.labels import short

HEADINGS = {
    "hits": "Typical hits",
    "confident_misses": "The most confident misses",
    "confused_pairs": "The most confused pairs of classes, by typical misses",
}
BRIGHTER = "brighter places speak more for the class"
TITLE = "Above: true / predicted class, calibrated probability"

Explain = Callable[[np.ndarray, np.ndarray], dict[Method, np.ndarray]]  # images, classes: maps (N, h, w) by method


class Shown(NamedTuple):
    """Images, uint8 (N, H, W, 3), with true and predicted classes, int64 (N,), and confidence, float (N,)."""

    images: np.ndarray
    true: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray

    def rows(self, chosen: np.ndarray | slice) -> "Shown":
        return Shown(*(array[chosen] for array in self))


def listing(test: Shown, chosen: dict[str, np.ndarray], classes: list[str]) -> list[dict[str, Any]]:
    """A table row for each of the `chosen` rows of `test`, by kind."""
    return [
        {
            "index": row,
            "kind": kind,
            "true": classes[test.true[row]],
            "predicted": classes[test.predicted[row]],
            "confidence": test.confidence[row],
        }
        for kind, rows in chosen.items()
        for row in rows.tolist()
    ]


def write_galleries(
    folder: Path,
    shown: dict[str, Shown],
    corrupted: Shown,
    condition: str,
    explain: Explain,
    classes: list[str],
    source: str,
) -> None:
    """Write a PNG for each kind in HEADINGS, corrupted.png, and methods.png, with every third picture of all kinds.

    corrupted: the same images under `condition`, a corruption and its severity, hits first; source: the variant and
    layer of the maps.
    """
    for kind, heading in HEADINGS.items():
        explanation = f"Grad-CAM of {source}: {BRIGHTER}. {TITLE}."
        draw_gallery(folder / f"{kind}.png", heading, explanation, by_class(shown[kind], explain, classes))
    draw_gallery(
        folder / "corrupted.png",
        f"The typical hits under {condition}",
        f"Grad-CAM of {source}: {BRIGHTER} named. Above: the class predicted, clean and then corrupted, with its "
        "calibrated probability.",
        clean_and_corrupted(shown["hits"], corrupted.rows(slice(len(shown["hits"].true))), explain, classes),
    )
    every = Shown(*map(np.concatenate, zip(*shown.values(), strict=True)))
    draw_gallery(
        folder / "methods.png",
        "Three ways to weigh the same activations",
        f"Maps of {source}: {BRIGHTER} predicted. {TITLE}.",
        by_method(every.rows(slice(None, None, 3)), explain, classes),
    )


def by_class(shown: Shown, explain: Explain, classes: list[str]) -> list[Picture]:
    """Each image, then its Grad-CAM for the predicted class and, if it differs, for the true class."""
    of_predicted, of_true = (
        _overlays(shown.images, target, explain)["grad_cam"] for target in (shown.predicted, shown.true)
    )
    return [
        Picture(
            _title(true, predicted, confidence, classes, tiles=2 if true == predicted else 3),
            [("", image), (_for(classes[predicted]), first)]
            + ([(_for(classes[true]), second)] if true != predicted else []),
        )
        for image, true, predicted, confidence, first, second in zip(*shown, of_predicted, of_true, strict=True)
    ]


def by_method(shown: Shown, explain: Explain, classes: list[str]) -> list[Picture]:
    """Each image, then its map for the predicted class by each method."""
    overlays = _overlays(shown.images, shown.predicted, explain)
    return [
        Picture(
            _title(true, predicted, confidence, classes, tiles=3),  # four small tiles are as wide as three large ones
            [("", image), *zip((TITLES[method] for method in overlays), of_image, strict=True)],
        )
        for image, true, predicted, confidence, *of_image in zip(*shown, *overlays.values(), strict=True)
    ]


def clean_and_corrupted(clean: Shown, corrupted: Shown, explain: Explain, classes: list[str]) -> list[Picture]:
    """Each image clean, then corrupted, with its Grad-CAM for the class predicted on the clean one beside both.

    Where the corruption changes the prediction, the corrupted image's map for that class comes last.
    """
    before, after, changed = (
        _overlays(shown.images, target, explain)["grad_cam"]
        for shown, target in ((clean, clean.predicted), (corrupted, clean.predicted), (corrupted, corrupted.predicted))
    )
    pictures = []
    for row, (of, to) in enumerate(zip(clean.predicted, corrupted.predicted, strict=True)):
        tiles = [
            ("clean", clean.images[row]),
            (_for(classes[of]), before[row]),
            ("corrupted", corrupted.images[row]),
            (_for(classes[of]), after[row]),
        ]
        if of != to:
            tiles.append((_for(classes[to]), changed[row]))
        clean_answer, answer = (
            f"{short(classes[label], 12)} {told(confidence)}"
            for label, confidence in ((of, clean.confidence[row]), (to, corrupted.confidence[row]))
        )
        pictures.append(Picture(f"{clean_answer}, then {answer}", tiles))
    return pictures


def _title(true: int, predicted: int, confidence: float, classes: list[str], tiles: int) -> str:
    most = 8 * tiles - 6  # characters of a name that fit above the tiles
    return f"{short(classes[true], most)} / {short(classes[predicted], most)}  {told(confidence)}"


def told(confidence: float) -> str:
    """
    >>> told(0.98), told(0.997)
    ('p=0.98', 'p>0.99')
    """
    return f"p={confidence:.2f}" if confidence < 0.995 else "p>0.99"


def _for(name: str) -> str:
    return f"for {short(name, 10)}"


def _overlays(images: np.ndarray, targets: np.ndarray, explain: Explain) -> dict[Method, list[np.ndarray]]:
    return {
        method: list(map(overlay, images, heatmap(maps, images.shape[1])))
        for method, maps in explain(images, targets).items()
    }
