"""Training a light network from random weights."""

from pathlib import Path

from study.data.splits import Examples, class_names, halves, load_split
from study.networks.classifier import LEAST_IMAGE_SIZE, Head, ImageSize, trainable
from study.networks.device import make_deterministic
from study.networks.light_classifier import LIGHT_RESNET, LightClassifier
from study.pipeline.params import Seed
from study.training.checkpoints import Checkpoints
from study.training.fine_tune import resolutions
from study.training.loop import BatchSize, fit, over_images
from study.training.outputs import save_training
from study.training.processes import from_leader, leads
from study.training.recipe import ImagePhase, Recipe

WHITENED = 5000  # images to fit the first layer to


class ScratchPhase(ImagePhase):
    """`train.scratch`: it shares only `train.common.recipe` with the three depths."""

    image_size: ImageSize | None  # None is the side of the pictures
    batch_size: BatchSize
    seed: Seed

    def image_size_for(self, side: int) -> int:
        """Pixels a side to which pictures of `side` pixels are resized."""
        return self.image_size or max(side, LEAST_IMAGE_SIZE)


def train_from_scratch(recipe: Recipe, phase: ScratchPhase, root: Path) -> None:
    """Train on data/subset; write the model, its curve and its cost."""
    make_deterministic(phase.seed)
    train, val = (Examples(*load_split(root, split)) for split in ("train", "val"))
    selection, _ = halves(val)
    image_size = phase.image_size_for(train.inputs.shape[1])
    model = LightClassifier(Head(hidden=[], dropout=0.0), class_names(root), image_size, LIGHT_RESNET)
    model.whiten(train.inputs[:WHITENED])
    inputs = [root / f"data/subset/{split}.npz" for split in ("train", "val")]
    checkpoints = from_leader(lambda: Checkpoints(root, "scratch", [recipe, phase], inputs))
    batches = over_images(train, phase.batch_size, phase.augment, bool(phase.consistency))
    part = trainable(model, "full")
    sizes = resolutions(phase.first_image_size, image_size, phase.epochs)
    curve = fit(part, batches, selection, recipe, phase, phase.seed, "scratch", checkpoints, image_sizes=sizes)
    if leads():
        save_training(root, "scratch", model, part, curve)
        checkpoints.remove()
