"""Fine-tuning: the head, and the stages of the backbone from a chosen one on.

Unless told otherwise it starts from a head that was trained on the frozen backbone: Kumar et al. 2022, "Fine-Tuning can
Distort Pretrained Features and Underperform Out-of-Distribution".
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from study.data.splits import load_facts, load_split, split_path
from study.features.augment import Augment, BatchAugment
from study.features.frozen_features import Views, features_path, load_features
from study.networks.classifier import Head, ImageSize, Learns, backbone_path, pretrained
from study.networks.device import make_deterministic
from study.networks.stages import UnfreezeFrom
from study.pipeline.params import Block, Seed, parse
from study.training.checkpoints import Checkpoints
from study.training.loop import BatchSize, Judge, Training, fit, loss_and_accuracy, over_images, over_views
from study.training.outputs import save_training
from study.training.processes import from_leader, in_processes, leads
from study.training.recipe import ImagePhase, LayerDecay, Phase, Recipe, resolutions


class Common(Block):
    """`train.common`: what all fine-tuned variants share."""

    image_size: ImageSize
    views: Views
    augment: Augment  # for all views but the first, which is the image itself
    batch_size: BatchSize
    seed: Seed
    recipe: Recipe
    probe: Phase  # the head alone, on the frozen backbone


class FineTuning(ImagePhase):
    """A variant that starts from the backbone, such as `train.full`."""

    unfreeze_from: UnfreezeFrom
    start: Literal["probe", "random"]  # of the head: trained by `train.common.probe` first, or as drawn
    learns: Learns  # of the stages that are unfrozen
    layer_decay: LayerDecay
    augment: BatchAugment | None  # None: the head learns from the cached views

    @model_validator(mode="after")
    def _views_are_for_the_head(self) -> "FineTuning":
        if self.augment is None and self.unfreeze_from != "fc":
            raise PydanticCustomError(
                "augment",
                "augment must be set where unfreeze_from is {first}: cached views suit fc, the head, alone",
                {"first": self.unfreeze_from},
            )
        return self


class Settings(Block):
    """What a fine-tuning needs besides its own block."""

    head: Head
    image_size: ImageSize
    batch_size: BatchSize
    seed: Seed
    recipe: Recipe
    probe: Phase


def common_settings(params: Mapping[str, Any]) -> Settings:
    return Settings(
        head=parse(params, "backbone.head", Head),
        image_size=parse(params, "train.common.image_size", ImageSize),
        batch_size=parse(params, "train.common.batch_size", BatchSize),
        seed=parse(params, "train.common.seed", Seed),
        recipe=parse(params, "train.common.recipe", Recipe),
        probe=parse(params, "train.common.probe", Phase),
    )


def train_variant(params: Mapping[str, Any], root: Path, variant: str) -> None:
    """Train what `train.{variant}` says, in as many processes."""
    phase = parse(params, f"train.{variant}", FineTuning)
    in_processes(phase.processes, lambda: fine_tune(variant, common_settings(params), phase, root))


def fine_tune(
    variant: str, settings: Settings, phase: FineTuning, root: Path, judge: Judge = loss_and_accuracy
) -> None:
    """Train from data/backbone, data/features and data/subset; write the model, its curve and its cost.

    judge: measures an epoch's loss and accuracy.
    """
    make_deterministic(settings.seed)
    facts = load_facts(root)
    model = pretrained(root, settings.head, facts.classes, settings.image_size)
    inputs = [backbone_path(root)]
    inputs += [path(root, split) for path in (features_path, split_path) for split in ("train", "selection")]
    checkpoints = from_leader(lambda: Checkpoints(root, variant, [settings, phase], inputs))
    training = Training(settings.recipe, settings.seed, checkpoints, judge)

    curve = []
    if phase.start == "probe" or phase.augment is None:
        train, selection = load_features(root)
        batches = over_views(train, settings.batch_size)
        model.unfreeze_from("fc")
        if phase.start == "probe":
            curve += fit(model.head, batches, selection, settings.probe, "head", training)
        if phase.augment is None:
            curve += fit(model.head, batches, selection, phase, variant, training)
    if phase.augment is not None:
        train, selection = (load_split(root, split).examples for split in ("train", "selection"))
        model.unfreeze_from(phase.unfreeze_from, phase.learns)
        batches = over_images(train, settings.batch_size, phase.augment.of(facts), bool(phase.consistency))
        sizes = resolutions(phase.first_image_size, settings.image_size, phase.epochs)
        curve += fit(model, batches, selection, phase, variant, training, phase.layer_decay, sizes)
    if leads():
        uses_features = phase.start == "probe" or phase.augment is None
        save_training(root, variant, model, curve, uses_features)
        checkpoints.remove()
