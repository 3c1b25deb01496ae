"""Classifiers of any variant: a light one from random weights, and saved ones as `save_classifier` wrote them."""

import json
from pathlib import Path
from typing import cast

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from study.light_resnet.network import Whitening, light_resnet
from study.networks.backbones import untrained
from study.networks.classifier import Classifier, Head, model_path
from study.networks.stages import Backbone, Stage, row
from study.pipeline.params import Refusal

LIGHT_RESNET = "light_resnet"  # in place of a backbone's name


def light_backbone() -> Backbone:
    """A light residual network, drawn from torch's global random state. Fit its first layer with `whiten`."""
    network, features = light_resnet()
    last: dict[Stage, str] = {"stem": "activation", "layer2": "layer2", "layer3": "layer3", "layer4": "layer4"}
    return Backbone(LIGHT_RESNET, row(network.named_children(), last), features)


@torch.inference_mode()
def whiten(model: Classifier, images: np.ndarray) -> None:
    """Fit a light network's first layer to training images, uint8 (N, H, W, 3)."""
    cast(Whitening, model.stage("stem.whitening")).fit(model.preprocess(torch.from_numpy(images)))


def untrained_like(model: Classifier) -> Classifier:
    """The same network, drawn anew from torch's global random state."""
    config = model.config
    return Classifier(_backbone(config["backbone"]), Head(**config["head"]), config["classes"], model.image_size)


def load_model(root: Path, variant: str, mirror: bool) -> Classifier:
    """The variant's trained model, as `load_classifier` returns it."""
    return load_classifier(model_path(root, variant), mirror)


def load_classifier(path: Path, mirror: bool) -> Classifier:
    """The saved model, in evaluation mode. `model.config` has its classes and image size.

    mirror: whether it answers with the mean logits of an image and its mirror image. Raises Refusal when an earlier
    version of this project wrote the file.
    """
    with safe_open(path, "pt") as file:
        config = json.loads(file.metadata()["config"])
    weights = load_file(path)
    if any(name.startswith("trunk.") for name in weights):
        raise Refusal(f"{path} was written by an earlier version of this project: train it anew with `dvc repro`")
    model = Classifier(_backbone(config["backbone"]), Head(**config["head"]), config["classes"], config["image_size"])
    model.load_state_dict(weights)
    model.mirror = mirror
    return model.eval()


def _backbone(name: str) -> Backbone:
    return light_backbone() if name == LIGHT_RESNET else untrained(name)
