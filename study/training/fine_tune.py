"""Fine-tuning at a depth: the head alone, the last block and the head, or everything.

The deeper ones start from a head that was trained on the frozen backbone: Kumar et al. 2022, "Fine-Tuning can Distort
Pretrained Features and Underperform Out-of-Distribution".
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from study.data.splits import Examples, class_names, halves, load_split
from study.features.augment import Augment
from study.features.frozen_features import Views, load_features
from study.networks.classifier import Depth, Head, ImageSize, pretrained, trainable
from study.networks.device import make_deterministic
from study.pipeline.params import Block, Seed, parse
from study.training.checkpoints import Checkpoints
from study.training.loop import BatchSize, Judge, fit, loss_and_accuracy, over_images, over_views
from study.training.outputs import save_training
from study.training.processes import from_leader, leads
from study.training.recipe import ImagePhase, Phase, Recipe

STEP = 32  # pixels; the stride of a ResNet's last map


def resolutions(first: int | None, last: int, epochs: int) -> list[int]:
    """Pixels per side for each epoch: multiples of 32 along a straight line from `first`, and at the end `last`.

    Early epochs at a low resolution cost little: Howard 2018, "Training Imagenet in 3 hours for $25".

    >>> resolutions(64, 128, 10)
    [64, 64, 64, 96, 96, 96, 96, 128, 128, 128]
    """
    if first is None:
        return [last] * epochs
    line = (first + (last - first) * epoch / max(1, epochs - 1) for epoch in range(epochs - 1))
    return [*(min(last, STEP * round(size / STEP)) for size in line), last]


class Common(Block):
    """`train.common`: what the three depths share."""

    image_size: ImageSize
    views: Views
    augment: Augment  # for all views but the first, which is the image itself
    batch_size: BatchSize
    seed: Seed
    recipe: Recipe
    probe: Phase  # the head alone, on the frozen backbone


class Settings(Block):
    """What the depths share in training, besides their own phases."""

    head: Head
    image_size: ImageSize
    batch_size: BatchSize
    seed: Seed
    recipe: Recipe


def common_settings(params: Mapping[str, Any]) -> Settings:
    return Settings(
        head=parse(params, "backbone.head", Head),
        image_size=parse(params, "train.common.image_size", ImageSize),
        batch_size=parse(params, "train.common.batch_size", BatchSize),
        seed=parse(params, "train.common.seed", Seed),
        recipe=parse(params, "train.common.recipe", Recipe),
    )


def fine_tune(
    depth: Depth,
    settings: Settings,
    probe: Phase | None,
    phase: Phase,
    root: Path,
    judge: Judge = loss_and_accuracy,
) -> None:
    """Train at `depth` from data/backbone, data/features and data/subset; write the model, its curve and its cost.

    probe: the first phase, which trains the head alone; None if the depth is "fc". phase: an ImagePhase if the depth is
    "full". judge: measures an epoch's loss and accuracy.
    """
    make_deterministic(settings.seed)
    backbone, features, subset = (
        root / "data/backbone/weights.safetensors",
        root / "data/features",
        root / "data/subset",
    )
    model = pretrained(backbone, settings.head, class_names(root), settings.image_size)
    inputs = [backbone, *(features / f"pooled_{split}.npy" for split in ("train", "val"))]
    inputs += [subset / f"{split}.npz" for split in ("train", "val")]
    blocks = [settings, *([probe] if probe else []), phase]
    checkpoints = from_leader(lambda: Checkpoints(root, depth, blocks, inputs))

    curve = []
    if probe:
        train, val = load_features(root, "pooled")
        batches, (selection, _) = over_views(train, settings.batch_size), halves(val)
        part = trainable(model, "fc")
        curve += fit(part, batches, selection, settings.recipe, probe, settings.seed, "head", checkpoints, judge)
    if isinstance(phase, ImagePhase):
        train, val = (Examples(*load_split(root, split)) for split in ("train", "val"))
        batches = over_images(train, settings.batch_size, phase.augment, bool(phase.consistency))
    else:
        train, val = load_features(root, "pooled" if depth == "fc" else "trunk")
        batches = over_views(train, settings.batch_size)
    selection, _ = halves(val)
    part, name = trainable(model, depth), "head" if depth == "fc" else depth
    sizes = None
    if isinstance(phase, ImagePhase):
        sizes = resolutions(phase.first_image_size, settings.image_size, phase.epochs)
    curve += fit(part, batches, selection, settings.recipe, phase, settings.seed, name, checkpoints, judge, sizes)
    if leads():
        save_training(root, depth, model, part, curve)
        checkpoints.remove()
