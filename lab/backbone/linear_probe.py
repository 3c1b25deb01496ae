"""The yardstick of a backbone: the accuracy of a linear probe on its frozen features of CIFAR-10.

Reads data/subset, which `dvc repro subsample` writes, and a file of weights without a head. Prints a line of CSV for
each way to see the pixels.

    python -m lab.backbone.linear_probe weights/resnet18_tinyimagenet.safetensors --image-size 64
"""

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from study.data.splits import load_facts, load_split
from study.networks.classifier import Classifier, Head
from study.networks.inference import predict
from study.networks.stages import load_backbone
from study.networks.torchvision_backbones import untrained
from study.pipeline.params import Refusal

SCALES = {"normalised": None, "unit": 255.0, "raw": 1.0}  # of pixels: what 0-255 is divided by; None is mean and std
STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2)  # inverse weights of the L2 penalty, of which val chooses one


class Probe(NamedTuple):
    strength: float
    val_accuracy: float
    test_accuracy: float


def frozen(weights: Path, classes: list[str], image_size: int, pixels: str) -> Classifier:
    """A network from images to pooled features. pixels: one of SCALES."""
    model = Classifier(untrained("resnet18"), Head(hidden=[], dropout=0.0), classes, image_size)
    load_backbone(model.backbone, load_file(weights))
    model.head = nn.Identity()
    if scale := SCALES[pixels]:
        model.mean.zero_()
        model.std.fill_(scale)
    return model


def run(root: Path, weights: Path, image_size: int, pixels: str = "normalised") -> Probe:
    """Fit a logistic regression on the features of the train images and their mirror images; judge it on test.

    pixels: one of SCALES. Only "normalised" is what the backbone was trained with.
    """
    if not (root / "data/subset").exists():
        raise Refusal("data/subset is missing: `dvc repro subsample` writes it")
    model = frozen(weights, load_facts(root).classes, image_size, pixels)
    images, labels = load_split(root, "train").examples
    mirrored = np.ascontiguousarray(images[:, :, ::-1])
    features = np.concatenate([predict(model, images), predict(model, mirrored)])
    labels = np.concatenate([labels, labels])
    halves = [load_split(root, half).examples for half in ("selection", "calibration")]
    val_images, val_labels = (np.concatenate(arrays) for arrays in zip(*halves, strict=True))
    test_images, test_labels = load_split(root, "test").examples
    val_features, test_features = predict(model, val_images), predict(model, test_images)

    def fitted(strength: float) -> Pipeline:
        regression = LogisticRegression(C=strength, max_iter=1000)
        return make_pipeline(StandardScaler(), regression).fit(features, labels)

    probes = {strength: fitted(strength) for strength in STRENGTHS}
    accuracies = {strength: probe.score(val_features, val_labels) for strength, probe in probes.items()}
    best = max(accuracies, key=accuracies.get)
    return Probe(best, accuracies[best], probes[best].score(test_features, test_labels))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path, help="safetensors of a torchvision ResNet-18 without its head")
    parser.add_argument("--image-size", type=int, default=64, help="pixels a side (default: %(default)s)")
    parser.add_argument(
        "--pixels", choices=SCALES, nargs="+", default=["normalised"], help="what the backbone sees (%(default)s)"
    )
    arguments = parser.parse_args()
    print("pixels", *Probe._fields, sep=",")
    try:
        for pixels in arguments.pixels:
            probe = run(Path(), arguments.weights, arguments.image_size, pixels)
            print(pixels, *(f"{figure:g}" for figure in probe), sep=",", flush=True)
    except (Refusal, OSError) as fault:
        sys.exit(f"linear_probe: {fault}")


if __name__ == "__main__":
    main()
