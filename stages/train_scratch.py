"""Train a light network from nothing, on the images that the others are fine-tuned on.

Reads data/subset. Writes models/scratch.safetensors, results/predictions/scratch.npz and
results/training/scratch.csv, scratch.json.
Params: train.scratch.
"""

from pathlib import Path

from stages.common.checkpoints import Checkpoints
from stages.common.datasets import class_names, load_split
from stages.common.device import make_deterministic
from stages.common.distributed import from_leader, in_processes, leads
from stages.common.examples import Examples, halves
from stages.common.light_resnet import LIGHT_RESNET, LightClassifier
from stages.common.model import Head, trainable
from stages.common.params import parse
from stages.common.record import save_training
from stages.common.stage import main
from stages.common.training import ScratchRecipe, fit, over_images

WHITENED = 5000  # images that the first layer is fitted to


def run(params: dict, root: Path) -> None:
    recipe = parse(params, "train.scratch", ScratchRecipe)
    in_processes(recipe.processes, learn, recipe, root)


def learn(recipe: ScratchRecipe, root: Path) -> None:
    make_deterministic(recipe.seed)
    train, val, test = (Examples(*load_split(root, split)) for split in ("train", "val", "test"))
    selection, calibration = halves(val)
    model = LightClassifier(Head(hidden=[], dropout=0.0), class_names(root), recipe.image_size, LIGHT_RESNET)
    model.whiten(train.inputs[:WHITENED])
    subset = [root / f"data/subset/{split}.npz" for split in ("train", "val")]
    checkpoints = from_leader(lambda: Checkpoints(root, "scratch", [recipe], subset))

    batches = over_images(train, recipe.batch_size, recipe.augment)
    curve = fit(trainable(model, "full"), batches, selection, recipe, recipe.seed, "scratch", checkpoints)
    if leads():
        save_training(root, "scratch", model, model, calibration, test, curve)
        checkpoints.remove()


if __name__ == "__main__":
    main(run)
