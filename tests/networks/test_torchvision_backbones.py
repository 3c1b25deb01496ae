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
def test_trunk_and_tail_make_up_torchvisions_network(name, require_same_features):
    require_same_features(headless(name), untrained(name), rtol=1.3e-6, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_tail_is_the_last_block_alone(name, shapes_alone):
    """Counted on torchvision's networks: a ResNet's stage of 512 channels, a MobileNet's last bottleneck and 1x1."""
    net = torchvision.models.get_model(name, weights=None)
    last = net.layer4 if hasattr(net, "layer4") else net.features[-2:]
    assert parameters(untrained(name).tail) == parameters(last)


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())
