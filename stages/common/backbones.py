"""The backbones: torchvision's networks without their classifiers, cut at the block that `layer4` unfreezes."""

from collections import OrderedDict
from typing import Literal, NamedTuple

from torch import nn

from stages.common.torchvision_shim import torchvision

BackboneName = Literal["resnet18", "resnet34", "resnet50", "wide_resnet50_2", "mobilenet_v2", "mobilenet_v3_small"]
Layer = Literal["layer2", "layer3", "layer4"]

STRIDES: dict[Layer, int] = {"layer2": 8, "layer3": 16, "layer4": 32}  # pixels of the upsampled image per cell

# The last block of a MobileNet, a bottleneck and the convolution behind it, as indices into its `features`; and where
# its maps of stride 8, 16 and 32 come out, which are what a ResNet's layer2, layer3 and layer4 yield.
MOBILENETS = {"mobilenet_v2": (17, (6, 13, 18)), "mobilenet_v3_small": (11, (3, 8, 12))}


class Backbone(NamedTuple):
    """pixels (N, 3, S, S), `trunk` to activations, `tail`, the last block, to pooled features (N, features)."""

    trunk: nn.Sequential
    tail: nn.Sequential
    features: int


def untrained(name: BackboneName) -> Backbone:
    """The network, drawn from torch's global random state. Its parameters are named as torchvision names them."""
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


def map_module(name: BackboneName, layer: Layer) -> str:
    """The module of a classifier whose output is `layer`'s map, by its path."""
    if name in MOBILENETS:
        last_block, maps = MOBILENETS[name]
        index = dict(zip(STRIDES, maps, strict=True))[layer]
        return f"{'trunk' if index < last_block else 'tail'}.features.{index}"
    return f"{'tail' if layer == 'layer4' else 'trunk'}.{layer}"


def map_size(layer: Layer, image_size: int) -> int:
    """Cells a side of the layer's map. A convolution of stride 2 rounds up.

    >>> map_size("layer3", 64), map_size("layer4", 225)
    (4, 8)
    """
    return -(-image_size // STRIDES[layer])
