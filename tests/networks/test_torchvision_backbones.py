from itertools import pairwise

import pytest
import torch

from study.networks.torchvision_backbones import MOBILENETS, RESNETS, untrained
from study.pipeline.torchvision_shim import torchvision

NAMES = (*RESNETS, *MOBILENETS)


def headless(name):
    """torchvision's network with an identity where its classifier was."""
    net = torchvision.models.get_model(name, weights=None)
    setattr(net, "fc" if hasattr(net, "fc") else "classifier", torch.nn.Identity())
    return net.eval()


@pytest.mark.parametrize("name", NAMES)
def test_the_stages_make_up_torchvisions_network(name, require_same_features):
    require_same_features(headless(name), untrained(name), rtol=1.3e-6, atol=1e-6)


@pytest.mark.parametrize("name", RESNETS)
def test_a_resnet_s_stages_are_its_layers(name, shapes_alone):
    net, stages = torchvision.models.get_model(name, weights=None), untrained(name).stages
    for layer in ("layer1", "layer2", "layer3", "layer4"):
        assert parameters(stages.get_submodule(layer)) == parameters(net.get_submodule(layer))
    assert parameters(stages.stem) == parameters(net.conv1) + parameters(net.bn1)


PLACES = {"mobilenet_v2": [0, 2, 4, 7, 14, 19], "mobilenet_v3_small": [0, 1, 2, 4, 9, 13]}


@pytest.mark.parametrize(("name", "places"), PLACES.items())
def test_a_mobilenet_s_stages_are_its_modules_of_one_stride(name, places, shapes_alone):
    """Counted on torchvision's networks, in which the first module of a stage has the stride 2."""
    net, stages = torchvision.models.get_model(name, weights=None), untrained(name).stages
    for (start, end), stage in zip(pairwise(places), ("stem", "layer1", "layer2", "layer3", "layer4"), strict=True):
        assert parameters(stages.get_submodule(stage)) == parameters(net.features[start:end])


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())
