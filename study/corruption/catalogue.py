"""Common corruptions of small images, with the formulas and severities of CIFAR-10-C.

Hendrycks & Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations". The
constants are those of the authors' make_cifar_c.py, which differ from ImageNet-C's. The official files were drawn from
an unseeded generator and cannot be regenerated bit by bit, so our images are CIFAR-10-C-style.

The constants are for CIFAR-10's 32 pixels per side. On other sizes, elastic, pixelate and occlusion scale with the
side. Noise is per pixel, and blurs, strokes and drops keep their size in pixels, so they cover less of a larger image:
compare severities within a size, not between two.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from study.corruption import blur, digital, held_out, noise, weather
from study.corruption.pixel_values import REFERENCE_SIDE
from study.corruption.spatter import Splash, spatter
from study.corruption.weather import Snowfall
from study.pipeline.params import Block

SEVERITIES = range(1, 6)
CorruptionName = Literal[
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "snow",
    "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression", "speckle_noise",
    "gaussian_blur", "spatter", "saturate", "occlusion", "blue_noise_sample", "brownish_noise", "checkerboard_cutout",
    "pinch_and_twirl", "ripple",
]  # fmt: skip
Group = Literal["benchmark", "extra", "held_out", "own"]
CHUNK = 500  # images of 32x32 at a time, to limit extra memory to 100 MB; a change changes the random draws


class Corruption(NamedTuple):
    """A corruption, its constants at severities 1-5, and its group.

    group: "benchmark" for the 15 in CIFAR-10-C's mean, by the authors' formulas; "extra" for their 4 others; "held_out"
    for CIFAR-10-C-bar's, which have a mean of their own; "own" for this project's.
    """

    apply: Callable[[np.ndarray, Any, np.random.Generator], np.ndarray]
    constants: tuple[Any, Any, Any, Any, Any]
    group: Group = "benchmark"


CORRUPTIONS = {  # in the paper's order, then our own, then those held out
    "gaussian_noise": Corruption(noise.gaussian_noise, (0.04, 0.06, 0.08, 0.09, 0.10)),
    "shot_noise": Corruption(noise.shot_noise, (500, 250, 100, 75, 50)),
    "impulse_noise": Corruption(noise.impulse_noise, (0.01, 0.02, 0.03, 0.05, 0.07)),
    "defocus_blur": Corruption(blur.defocus_blur, ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))),
    "glass_blur": Corruption(blur.glass_blur, ((0.05, 1), (0.25, 1), (0.4, 1), (0.25, 2), (0.4, 2))),
    "motion_blur": Corruption(blur.motion_blur, ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))),
    "zoom_blur": Corruption(blur.zoom_blur, (1.06, 1.11, 1.16, 1.21, 1.26)),
    "snow": Corruption(
        weather.snow,
        (
            Snowfall(0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            Snowfall(0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            Snowfall(0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            Snowfall(0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            Snowfall(0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
    ),
    "frost": Corruption(weather.frost, ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)), "own"),
    "fog": Corruption(weather.fog, ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75))),
    "brightness": Corruption(digital.brightness, (0.05, 0.1, 0.15, 0.2, 0.3)),
    "contrast": Corruption(digital.contrast, (0.75, 0.5, 0.4, 0.3, 0.15)),
    "elastic_transform": Corruption(
        digital.elastic_transform,
        ((0, 0, 2.56), (1.6, 6.4, 2.24), (2.56, 1.92, 1.92), (3.2, 1.28, 1.6), (3.2, 0.96, 0.96)),
    ),
    "pixelate": Corruption(digital.pixelate, (30, 28, 27, 24, 20)),
    "jpeg_compression": Corruption(digital.jpeg_compression, (80, 65, 58, 50, 40)),
    "speckle_noise": Corruption(noise.speckle_noise, (0.06, 0.1, 0.12, 0.16, 0.2), "extra"),
    "gaussian_blur": Corruption(blur.gaussian_blur, (0.4, 0.6, 0.7, 0.8, 1), "extra"),
    "spatter": Corruption(
        spatter,
        (
            Splash(0.62, 0.1, 0.7, 0.7, 0.5, mud=False),
            Splash(0.65, 0.1, 0.8, 0.7, 0.5, mud=False),
            Splash(0.65, 0.3, 1, 0.69, 0.5, mud=False),
            Splash(0.65, 0.1, 0.7, 0.69, 0.6, mud=True),
            Splash(0.65, 0.1, 0.5, 0.68, 0.6, mud=True),
        ),
        "extra",
    ),
    "saturate": Corruption(digital.saturate, ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)), "extra"),
    "occlusion": Corruption(noise.occlusion, (4, 8, 12, 16, 20), "own"),
    "blue_noise_sample": Corruption(held_out.blue_noise_sample, (0.7, 1.4, 2.1, 3.5, 4.2), "held_out"),
    "brownish_noise": Corruption(held_out.brownish_noise, (2.5, 4, 5.5, 6.5, 7), "held_out"),
    "checkerboard_cutout": Corruption(held_out.checkerboard_cutout, (1, 2, 3, 4, 5), "held_out"),
    "pinch_and_twirl": Corruption(held_out.pinch_and_twirl, (5.5, 6, 6.5, 8.5, 10), "held_out"),
    "ripple": Corruption(held_out.ripple, (5.5, 6, 6.5, 7.5, 8), "held_out"),
}


def corrupt(images: np.ndarray, name: str, severity: int, seed: int) -> np.ndarray:
    """Apply corruption `name` at `severity` 1-5 to `images`, uint8 (N, S, S, 3). Returns the same shape and dtype.

    Random draws depend only on name, severity, seed and an image's place in the batch: not on other corruptions, nor on
    the images that follow.
    Raises ValueError, quoting the argument, for an unknown name, a severity out of range or other images.
    """
    if name not in CORRUPTIONS:
        raise ValueError(f"unknown corruption {name!r}: choose from {', '.join(CORRUPTIONS)}")
    if severity not in SEVERITIES:
        raise ValueError(f"severity must be 1, 2, 3, 4 or 5, got {severity!r}")
    side = images.shape[1]
    if images.dtype != np.uint8 or images.shape[1:] != (side, side, 3):
        raise ValueError(f"images must be uint8 (N, S, S, 3), got {images.dtype} {images.shape}")
    corruption = CORRUPTIONS[name]
    constant = corruption.constants[severity - 1]
    rng = np.random.default_rng([seed, severity, *name.encode()])
    corrupted = np.empty_like(images)
    chunk = max(CHUNK * REFERENCE_SIDE**2 // side**2, 1)
    for start in range(0, len(images), chunk):
        corrupted[start : start + chunk] = corruption.apply(images[start : start + chunk], constant, rng)
    return corrupted


class CorruptEval(Block):
    """`corrupt_eval`: the corruptions that models are evaluated on."""

    corruptions: Annotated[list[CorruptionName], Field(min_length=1)]
    images: Annotated[int, Field(ge=10, le=1_000_000)]  # of the test split, each once per corruption and severity
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    cifar10c_dir: str | None

    @field_validator("corruptions")
    @classmethod
    def _names_each_once(cls, names: list[str]) -> list[str]:
        if len(set(names)) < len(names):
            raise PydanticCustomError("repeated", "each corruption may be named once")
        return names
