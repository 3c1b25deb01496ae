"""torchvision's ResNets and MobileNets, cut at their last block."""

from collections import OrderedDict

from torch import nn

from study.networks.trunk_and_tail import STRIDES, Backbone, Layer
from study.pipeline.torchvision_shim import torchvision

RESNETS = ("resnet18", "resnet34", "resnet50", "wide_resnet50_2")

# Indices into a MobileNet's `features`: where its last block starts, a bottleneck and a convolution, and which modules
# yield the maps of stride 8, 16 and 32, as a ResNet's layer2, layer3 and layer4 do.
MOBILENETS = {"mobilenet_v2": (17, (6, 13, 18)), "mobilenet_v3_small": (11, (3, 8, 12))}


def untrained(name: str) -> Backbone:
    """One of RESNETS or MOBILENETS, drawn from torch's global random state, under torchvision's names for its parts."""
    net = torchvision.models.get_model(name, weights=None)
    if name in MOBILENETS:
        last_block, indices = MOBILENETS[name]
        trunk, tail = {"features": net.features[:last_block]}, {"features": net.features[last_block:]}
        classifier = next(layer for layer in net.classifier if isinstance(layer, nn.Linear))
        maps: dict[Layer, str] = {
            layer: f"{'trunk' if index < last_block else 'tail'}.features.{index}"
            for layer, index in zip(STRIDES, indices, strict=True)
        }
    else:
        names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3")
        trunk, tail = {name: getattr(net, name) for name in names}, {"layer4": net.layer4}
        classifier = net.fc
        maps = {"layer2": "trunk.layer2", "layer3": "trunk.layer3", "layer4": "tail.layer4"}
    tail |= {"avgpool": net.avgpool if hasattr(net, "avgpool") else nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    features = classifier.in_features
    return Backbone(nn.Sequential(OrderedDict(trunk)), nn.Sequential(OrderedDict(tail)), features, maps)
