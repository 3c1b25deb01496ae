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
def test_trunk_and_tail_make_up_torchvisions_network(name):
    reference = headless(name)
    trunk, tail, features, *_ = untrained(name)
    state = reference.state_dict()
    for part in (trunk, tail):
        part.load_state_dict({key: state.pop(key) for key in part.state_dict()})
        part.eval()
    assert not state
    pixels = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        pooled = tail(trunk(pixels))
        torch.testing.assert_close(pooled, reference(pixels))
    assert pooled.shape == (2, features)


@pytest.mark.parametrize("name", NAMES)
def test_the_tail_is_the_last_block_alone(name):
    """Counted on torchvision's networks: a ResNet's stage of 512 channels, a MobileNet's last bottleneck and 1x1."""
    with torch.device("meta"):  # to draw hundreds of millions of numbers takes seconds
        net = torchvision.models.get_model(name, weights=None)
        last = net.layer4 if hasattr(net, "layer4") else net.features[-2:]
        assert parameters(untrained(name).tail) == parameters(last)


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())
