"""Train the head on the frozen backbone, then everything.

Reads data/subset, data/backbone and data/features. Writes models/full.safetensors, results/predictions/full.npz and
results/training/full.csv, full.json.
Params: backbone.head, train.common, train.full.
"""

from pathlib import Path

from stages.common.checkpoints import Checkpoints
from stages.common.datasets import class_names, load_split
from stages.common.device import make_deterministic
from stages.common.distributed import from_leader, in_processes, leads
from stages.common.examples import Examples, halves
from stages.common.features import load_features
from stages.common.model import Head, pretrained, trainable
from stages.common.params import parse
from stages.common.record import save_training
from stages.common.stage import main
from stages.common.training import Common, ImageRecipe, fit, over_images, over_views


def run(params: dict, root: Path) -> None:
    head = parse(params, "backbone.head", Head)
    common = parse(params, "train.common", Common)
    recipe = parse(params, "train.full", ImageRecipe)
    in_processes(recipe.processes, learn, head, common, recipe, root)


def learn(head: Head, common: Common, recipe: ImageRecipe, root: Path) -> None:
    make_deterministic(common.seed)
    backbone = root / "data/backbone/weights.safetensors"
    model = pretrained(backbone, head, class_names(root), common.image_size)
    subset = [root / f"data/subset/{split}.npz" for split in ("train", "val")]
    checkpoints = from_leader(lambda: Checkpoints(root, "full", [head, common, recipe], [backbone, *subset]))
    train, val, test = load_features(root, "pooled")
    selection, calibration = halves(val)

    batches = over_views(train, common.batch_size)
    curve = fit(trainable(model, "fc"), batches, selection, common.probe, common.seed, "head", checkpoints)

    train, val, test = (Examples(*load_split(root, split)) for split in ("train", "val", "test"))
    selection, calibration = halves(val)
    batches = over_images(train, common.batch_size, recipe.augment)
    curve += fit(trainable(model, "full"), batches, selection, recipe, common.seed, "full", checkpoints)
    if leads():
        save_training(root, "full", model, model, calibration, test, curve)
        checkpoints.remove()


if __name__ == "__main__":
    main(run)
