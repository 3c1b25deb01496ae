"""Training a light network from random weights."""

from pathlib import Path

from study.data.splits import load_facts, load_split, split_path
from study.features.augment import BatchAugment
from study.networks.classifier import LEAST_IMAGE_SIZE, Classifier, Head, ImageSize
from study.networks.device import make_deterministic
from study.networks.loading import light_backbone, whiten
from study.pipeline.params import Seed
from study.training.checkpoints import Checkpoints
from study.training.loop import BatchSize, Training, fit, over_images
from study.training.outputs import save_training
from study.training.processes import from_leader, leads
from study.training.recipe import ImagePhase, Recipe, resolutions

SCRATCH = "scratch"  # the variant
WHITENED = 5000  # images to fit the first layer to


class FromScratch(ImagePhase):
    """`train.scratch`: it shares only `train.common.recipe` with the others."""

    augment: BatchAugment
    image_size: ImageSize | None  # None is the side of the pictures
    batch_size: BatchSize
    seed: Seed

    def image_size_for(self, side: int) -> int:
        """Pixels a side to which pictures of `side` pixels are resized."""
        return self.image_size or max(side, LEAST_IMAGE_SIZE)


def train_from_scratch(recipe: Recipe, phase: FromScratch, root: Path) -> None:
    """Train on data/subset; write the model, its curve and its cost."""
    make_deterministic(phase.seed)
    facts = load_facts(root)
    train, selection = (load_split(root, split).examples for split in ("train", "selection"))
    image_size = phase.image_size_for(train.inputs.shape[1])
    model = Classifier(light_backbone(), Head(hidden=[], dropout=0.0), facts.classes, image_size)
    whiten(model, train.inputs[:WHITENED])
    inputs = [split_path(root, split) for split in ("train", "selection")]
    checkpoints = from_leader(lambda: Checkpoints(root, SCRATCH, [recipe, phase], inputs))
    batches = over_images(train, phase.batch_size, phase.augment.of(facts), bool(phase.consistency))
    sizes = resolutions(phase.first_image_size, image_size, phase.epochs)
    training = Training(recipe, phase.seed, checkpoints)
    curve = fit(model, batches, selection, phase, SCRATCH, training, image_sizes=sizes)
    if leads():
        save_training(root, SCRATCH, model, curve, cached_features=False)
        checkpoints.remove()
