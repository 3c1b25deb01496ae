"""The backbones: torchvision's networks without their classifiers, cut at the block that `layer4` unfreezes."""

from collections import OrderedDict
from typing import Literal, NamedTuple

from torch import nn

from study.pipeline.torchvision_shim import torchvision

BackboneName = Literal["resnet18", "resnet34", "resnet50", "wide_resnet50_2", "mobilenet_v2", "mobilenet_v3_small"]
Layer = Literal["layer2", "layer3", "layer4"]

STRIDES: dict[Layer, int] = {"layer2": 8, "layer3": 16, "layer4": 32}  # pixels of the network's input per cell

# Indices into a MobileNet's `features`: where its last block starts, a bottleneck and a convolution, and which modules
# yield the maps of stride 8, 16 and 32, as a ResNet's layer2, layer3 and layer4 do.
MOBILENETS = {"mobilenet_v2": (17, (6, 13, 18)), "mobilenet_v3_small": (11, (3, 8, 12))}


class Backbone(NamedTuple):
    """`trunk` maps pixels (N, 3, S, S) to activations; `tail`, the last block, maps those to (N, features), pooled."""

    trunk: nn.Sequential
    tail: nn.Sequential
    features: int


def untrained(name: str) -> Backbone:
    """The network called `name`, a BackboneName, drawn from torch's global random state. Keeps torchvision's names."""
    net = torchvision.models.get_model(name, weights=None)
    if name in MOBILENETS:
        last_block, _ = MOBILENETS[name]
        trunk, tail = {"features": net.features[:last_block]}, {"features": net.features[last_block:]}
        classifier = next(layer for layer in net.classifier if isinstance(layer, nn.Linear))
    else:
        names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3")
        trunk, tail = {name: getattr(net, name) for name in names}, {"layer4": net.layer4}
        classifier = net.fc
    tail |= {"avgpool": net.avgpool if hasattr(net, "avgpool") else nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    return Backbone(nn.Sequential(OrderedDict(trunk)), nn.Sequential(OrderedDict(tail)), classifier.in_features)


def map_module(name: str, layer: Layer) -> str:
    """The path of the classifier's module whose output is `layer`'s map."""
    if name in MOBILENETS:
        last_block, maps = MOBILENETS[name]
        index = dict(zip(STRIDES, maps, strict=True))[layer]
        return f"{'trunk' if index < last_block else 'tail'}.features.{index}"
    return f"{'tail' if layer == 'layer4' else 'trunk'}.{layer}"


def map_size(layer: Layer, image_size: int) -> int:
    """Cells per side of the layer's map; a convolution of stride 2 rounds up.

    >>> map_size("layer3", 64), map_size("layer4", 225)
    (4, 8)
    """
    return -(-image_size // STRIDES[layer])
