"""report.html: everything that was measured and the pictures behind it, in one page that loads nothing."""

import json
import platform
from base64 import b64encode
from collections.abc import Callable, Mapping
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
import vl_convert
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from study.drawing.heatmap_gallery import COLOURS
from study.evaluation.predictions import Predictions
from study.evaluation.robustness import means, robustness
from study.evaluation.temperature import tempered_softmax
from study.label_errors.figure import label_errors_figure
from study.pipeline.variants import FINE_TUNED, VARIANTS, Variant
from study.reporting.figures import corruption_figure
from study.reporting.formats import TEMPLATES, fixed, percent, points, records, share, signed, templates
from study.reporting.plot_tables import MEAN, corruption_table, learning_curves_table
from study.reporting.results import Results
from study.reporting.results_table import LEARNS, Summary
from study.reporting.shift_figures import adaptation_figure, interpolation_figure
from study.reporting.summary import shared_seconds
from study.reporting.uncertainty_figures import conformal_figure, ood_figure

VEGA_LITE = "6.4"
SPRITE_COLUMNS = 30
LARGEST = 64  # pixels a side of a picture on the page, which holds hundreds
PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "pillow", "onnx", "onnxruntime", "dvc")


class Gallery(NamedTuple):
    """Test pictures to look at: their rows among the test images, int64 (M,); uint8 images (M, S, S, 3); and Grad-CAM
    of each for the class that the published variant predicts, not negative, (M, h, w)."""

    rows: np.ndarray
    images: np.ndarray
    maps: np.ndarray


def load_gallery(root: Path) -> Gallery:
    with np.load(root / "results/gradcam/gallery.npz") as chosen, np.load(root / "data/subset/test.npz") as test:
        return Gallery(chosen["index"], _bounded(test["images"][chosen["index"]]), chosen["maps"])


def write_page(
    path: Path,
    freeze: Variant,
    params: Mapping[str, Any],
    classes: list[str],
    summary: Summary,
    results: Results,
    conformal: Mapping[str, Any],
    predictions: Mapping[Variant, Predictions],
    gallery: Gallery,
    test_images: np.ndarray,
) -> None:
    """One HTML file with its script, style, pictures and data inside. The same inputs give the same bytes.

    params: the blocks that made the results, all of which the page quotes. summary and conformal: as in
    metrics/. predictions: of each variant, on the test images; test_images: uint8 (N, H, W, 3).
    Raises jinja2.UndefinedError when a figure that the page quotes is absent.
    """
    by_severity = corruption_table(results.corruption)
    ranked = sorted(VARIANTS, key=lambda variant: -results.calibration[variant]["after"]["accuracy"])
    (closest,) = (pair for pair in results.comparison["pairs"] if {pair["first"], pair["second"]} == set(ranked[:2]))
    data = {
        "freeze": freeze,
        "variants": VARIANTS,
        "classes": classes,
        "bins": params["calibrate"]["bins"],
        "mean": MEAN,
        "robustness": records(by_severity),
        "curves": _timed_curves(results),
        "shared_seconds": {variant: shared_seconds(results.training, variant) for variant in VARIANTS},
        "predictions": _packed_predictions(predictions, summary),
        "gallery": _packed_gallery(gallery, predictions, summary),
    }
    drawings = {
        "corruption": drawn(corruption_figure(robustness(results.corruption))),
        "adaptation": drawn(adaptation_figure(results.adaptation)),
        "interpolation": drawn(interpolation_figure(results.interpolation)),
        "conformal": drawn(conformal_figure(results.sets, results.answers)),
        "ood": drawn(ood_figure(results.ood)),
    }
    if not results.wrong_labels.empty:
        wrong = label_errors_figure(test_images, results.wrong_labels, freeze)
        drawings["label_errors"] = drawn(wrong, lossless=False)
    corrupted = results.corruption[results.corruption["severity"] > 0]
    environment = templates(autoescape=True)
    measured = {show.__name__: typeset(show) for show in (percent, share, fixed, points, signed)}
    environment.filters |= measured | {"words": words}
    environment.globals |= measured
    page = environment.get_template("report.html.j2").render(
        freeze=freeze,
        params=params,
        classes=classes,
        summary=summary,
        calibration=results.calibration,
        comparison=results.comparison,
        training=results.training,
        adversarial=records(results.adversarial),
        adversarial_checks=results.adversarial_checks,
        attribution=results.attribution,
        groups=dict(zip(corrupted["corruption"], corrupted["group"], strict=True)),
        overview=_overview(by_severity),
        drawings=drawings,
        conformal=conformal,
        label_errors=results.label_errors,
        pictures=len(gallery.rows),
        tested=len(predictions[freeze].labels),
        ranked=ranked,
        closest=closest,
        learns=LEARNS,
        variants=VARIANTS,
        fine_tuned=FINE_TUNED,
        mean=MEAN,
        python=platform.python_version(),
        packages={name: version(name) for name in PACKAGES},
        style=_asset("report.css"),
        script=_asset("report.js"),
        vega=Markup(vl_convert.javascript_bundle(vl_version=VEGA_LITE)),  # type: ignore[call-arg]  # optional, despite its stub
        data=_json(data),
    )
    path.write_text(page, encoding="utf-8")


def _bounded(images: np.ndarray) -> np.ndarray:
    """Images uint8 (M, S, S, 3), brought to LARGEST pixels a side where they have more."""
    if images.shape[1] <= LARGEST:
        return images
    size = LARGEST, LARGEST
    return np.stack([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)) for image in images])


def words(name: str) -> str:
    """
    >>> words("gaussian_noise")
    'gaussian noise'
    """
    return name.replace("_", " ")


def typeset(show: Callable[[float], str]) -> Callable[[float], str]:
    """`show` with a minus sign as long as its plus, and no line break before a percent sign.

    >>> typeset("{:+.1f} %".format)(-0.5)
    '\N{MINUS SIGN}0.5\\xa0%'
    """
    return lambda value: show(value).replace("-", "\N{MINUS SIGN}").replace(" %", "\N{NO-BREAK SPACE}%")


def pack(array: np.ndarray, kind: str) -> str:
    """The bytes of the array, as little-endian `kind` in row order, in base64.

    >>> pack(np.array([1, 256]), "<u2")
    'AQAAAQ=='
    """
    return b64encode(np.ascontiguousarray(array, dtype=kind).tobytes()).decode()


def sprite(images: np.ndarray, columns: int = SPRITE_COLUMNS) -> str:
    """Images uint8 (M, H, W, 3) side by side, line after line, as the data URL of one lossless WebP."""
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    sheet = np.zeros((rows * columns, height, width, channels), dtype=np.uint8)
    sheet[:count] = images
    sheet = sheet.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    file = BytesIO()
    Image.fromarray(sheet.reshape(rows * height, columns * width, channels)).save(
        file, "WEBP", lossless=True, quality=100, method=6
    )
    return f"data:image/webp;base64,{b64encode(file.getvalue()).decode()}"


def drawn(figure: Figure, lossless: bool = True) -> str:
    """The figure as the data URL of a WebP. lossless: in 256 colours, and not for photographs."""
    picture, file = BytesIO(), BytesIO()
    figure.savefig(picture, dpi=120)
    image = Image.open(picture).convert("RGB")
    if lossless:
        image = image.quantize(256, dither=Image.Dither.NONE).convert("RGB")
    image.save(file, "WEBP", lossless=lossless, quality=100 if lossless else 75, method=6)
    return f"data:image/webp;base64,{b64encode(file.getvalue()).decode()}"


def _packed_predictions(predictions: Mapping[Variant, Predictions], summary: Summary) -> dict[str, Any]:
    """Of each test image: its label, and per variant the class predicted and the confidence before and after scaling.

    The confidences stay 32 bits wide: with fewer, the ECE that the page computes would differ in its last digit from
    the one that the tables give.
    """
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


def _packed_gallery(gallery: Gallery, predictions: Mapping[Variant, Predictions], summary: Summary) -> dict[str, Any]:
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
        "probabilities": {  # in 1/65535
            variant: pack(
                np.round(65535 * tempered_softmax(logits[gallery.rows], summary[variant]["temperature"])), "<u2"
            )
            for variant, (logits, _) in predictions.items()
        },
    }


def _timed_curves(results: Results) -> list[dict[str, Any]]:
    """The learning curves with the seconds of every epoch."""
    seconds = [second for variant in VARIANTS for second in results.training[variant]["epoch_seconds"]]
    return records(learning_curves_table(results.curves).assign(seconds=seconds))


def _overview(by_severity: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """By corruption and variant the means over the severities, without the clean images."""
    corrupted = by_severity[by_severity["severity"] > 0]
    return {
        str(corruption): {str(variant): means(of) for variant, of in rows.groupby("variant", sort=False)}
        for corruption, rows in corrupted.groupby("corruption", sort=False)
    }


def _json(data: Mapping[str, Any]) -> Markup:
    """JSON that cannot end the <script> that it stands in, whatever a class is named."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e"))


def _asset(name: str) -> Markup:
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))
