"""torchvision's ResNets and MobileNets as rows of stages."""

from torch import nn

from study.networks.stages import STAGES, Backbone, row
from study.pipeline.torchvision_shim import torchvision

RESNETS = ("resnet18", "resnet34", "resnet50", "wide_resnet50_2")

# Indices into a MobileNet's `features`: the last module of each stage.
MOBILENETS = {"mobilenet_v2": (1, 3, 6, 13, 18), "mobilenet_v3_small": (0, 1, 3, 8, 12)}


def untrained(name: str) -> Backbone:
    """One of RESNETS or MOBILENETS, drawn from torch's global random state, under torchvision's names for its parts."""
    net = torchvision.models.get_model(name, weights=None)
    if name in MOBILENETS:
        modules = [(f"features.{index}", module) for index, module in net.features.named_children()]
        last = dict(zip(STAGES, (f"features.{index}" for index in MOBILENETS[name]), strict=True))
        classifier = next(layer for layer in net.classifier if isinstance(layer, nn.Linear))
        pool = nn.AdaptiveAvgPool2d(1)
    else:
        modules = [(path, module) for path, module in net.named_children() if path not in ("avgpool", "fc")]
        last = {stage: stage for stage in STAGES} | {"stem": "maxpool"}
        classifier, pool = net.fc, net.avgpool
    modules += [("avgpool", pool), ("flatten", nn.Flatten())]
    return Backbone(name, row(modules, last), classifier.in_features)
