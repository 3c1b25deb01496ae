"""Fetch the images and the backbone's starting weights, verified.

Reads:  CIFAR-10 from CIFAR10_DIR, .cache/cifar10, the official host or CIFAR10_URL; or scikit-learn's digits;
        or the pictures under data.path;
        weights/resnet18_tinyimagenet.safetensors or torchvision's ImageNet weights
Writes: data/raw/ (images, labels, classes), data/backbone/weights.safetensors, which name their backbone
Params: data.dataset, data.path, data.side, backbone.name, backbone.weights
"""

from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from stages.common.backbones import BackboneName
from stages.common.datasets import Dataset, FolderPath, Side, save_raw
from stages.common.folders import whole_folder
from stages.common.params import parse
from stages.common.picture_folder import list_pictures, read_pictures
from stages.common.sources import load
from stages.common.stage import main
from stages.common.weights import Weights, backbone_weights, rescaled


def run(params: dict[str, Any], root: Path) -> None:
    dataset = parse(params, "data.dataset", Dataset)
    backbone = parse(params, "backbone.name", BackboneName)
    weights = parse(params, "backbone.weights", Weights)

    state = backbone_weights(backbone, weights, root)
    if dataset == "folder":
        path, side = parse(params, "data.path", FolderPath), parse(params, "data.side", Side)
        raw = read_pictures(list_pictures(root / path), side)
    else:
        raw = load(dataset, root)
    if weights == "none":
        state = rescaled(backbone, state, raw.train_images)
    with whole_folder(root / "data/backbone") as folder:
        save_file(state, folder / "weights.safetensors", {"backbone": backbone})
    with whole_folder(root / "data/raw") as folder:
        save_raw(raw, folder)
    images = f"{len(raw.train_labels)} images to train on, {len(raw.test_labels)} to test"
    print(f"{dataset}: {images}; {backbone}: {weights}")


if __name__ == "__main__":
    main(run)
