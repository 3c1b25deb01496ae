"""Fetch the images and the backbone's starting weights, verified.

Reads:  CIFAR-10 from CIFAR10_DIR, .cache/cifar10, the official host or CIFAR10_URL; or scikit-learn's digits;
        weights/resnet18_tinyimagenet.safetensors or torchvision's ImageNet weights
Writes: data/raw/ (images, labels, classes), data/backbone/resnet18.safetensors
Params: data.dataset, backbone.weights
"""

from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from stages.common.datasets import Dataset, save_raw
from stages.common.folders import whole_folder
from stages.common.params import parse
from stages.common.sources import load
from stages.common.stage import main
from stages.common.weights import Weights, backbone_weights


def run(params: dict[str, Any], root: Path) -> None:
    dataset = parse(params, "data.dataset", Dataset)
    weights = parse(params, "backbone.weights", Weights)

    state = backbone_weights(weights, root)
    raw = load(dataset, root)
    with whole_folder(root / "data/backbone") as folder:
        save_file(state, folder / "resnet18.safetensors")
    with whole_folder(root / "data/raw") as folder:
        save_raw(raw, folder)
    print(f"{dataset}: {len(raw.train_labels)} images to train on, {len(raw.test_labels)} to test; weights: {weights}")


if __name__ == "__main__":
    main(run)
