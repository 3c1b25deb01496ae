"""Train the head alone, on the frozen backbone.

Reads data/subset, data/backbone and data/features. Writes models/fc.safetensors, results/predictions/fc.npz and
results/training/fc.csv, fc.json.
Params: backbone.head, train.common, train.fc.
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
    recipe = parse(params, "train.fc", Recipe)
    make_deterministic(common.seed)
    backbone = root / "data/backbone/weights.safetensors"
    model = pretrained(backbone, head, class_names(root), common.image_size)
    subset = [root / f"data/subset/{split}.npz" for split in ("train", "val")]
    checkpoints = Checkpoints(root, "fc", [head, common, recipe], [backbone, *subset])
    train, val, test = load_features(root, "pooled")
    selection, calibration = halves(val)

    part = trainable(model, "fc")
    curve = fit(part, over_views(train, common.batch_size), selection, recipe, common.seed, "head", checkpoints)
    save_training(root, "fc", model, part, calibration, test, curve)
    checkpoints.remove()


if __name__ == "__main__":
    main(run)
