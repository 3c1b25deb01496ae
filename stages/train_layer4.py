"""Train the head, then the last block and the head together, on the trunk's frozen activations.

Reads data/subset, data/backbone and data/features. Writes models/layer4.safetensors, results/predictions/layer4.npz and
results/training/layer4.csv, layer4.json.
Params: backbone.head, train.common, train.layer4.
"""

from pathlib import Path

from stages.common.checkpoints import Checkpoints
from stages.common.datasets import class_names
from stages.common.device import make_deterministic
from stages.common.examples import halves
from stages.common.features import load_features
from stages.common.model import Head, pretrained, trainable
from stages.common.optimisation import Recipe
from stages.common.params import parse
from stages.common.record import save_training
from stages.common.stage import main
from stages.common.training import Common, fit, over_views


def run(params: dict, root: Path) -> None:
    head = parse(params, "backbone.head", Head)
    common = parse(params, "train.common", Common)
    recipe = parse(params, "train.layer4", Recipe)
    make_deterministic(common.seed)
    backbone = root / "data/backbone/weights.safetensors"
    model = pretrained(backbone, head, class_names(root), common.image_size)
    subset = [root / f"data/subset/{split}.npz" for split in ("train", "val")]
    checkpoints = Checkpoints(root, "layer4", [head, common, recipe], [backbone, *subset])
    train, val, test = load_features(root, "pooled")
    selection, calibration = halves(val)

    batches = over_views(train, common.batch_size)
    curve = fit(trainable(model, "fc"), batches, selection, common.probe, common.seed, "head", checkpoints)

    train, val, test = load_features(root, "trunk")
    selection, calibration = halves(val)
    part = trainable(model, "layer4")
    curve += fit(part, over_views(train, common.batch_size), selection, recipe, common.seed, "layer4", checkpoints)
    save_training(root, "layer4", model, part, calibration, test, curve)
    checkpoints.remove()


if __name__ == "__main__":
    main(run)
