from pathlib import Path
from typing import get_args

import pytest
import torch

from stages.common.backbones import BackboneName, Layer, map_module, untrained
from stages.common.model import Classifier, Depth, Head, trainable
from stages.common.model_card import BACKBONES
from stages.common.params import read_params
from stages.common.torchvision_shim import torchvision

ROOT = Path(__file__).parents[2]
NAMES = get_args(BackboneName)


def headless(name):
    """torchvision's network with an identity where its classifier was."""
    net = torchvision.models.get_model(name, weights=None)
    setattr(net, "fc" if hasattr(net, "fc") else "classifier", torch.nn.Identity())
    return net.eval()


@pytest.mark.parametrize("name", NAMES)
def test_trunk_and_tail_make_up_torchvisions_network(name):
    reference = headless(name)
    trunk, tail, features = untrained(name)
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
def test_every_layer_is_a_map_of_its_stride(name):
    model = Classifier(Head(hidden=[], dropout=0.0), ["a", "b"], 64, name).eval()
    sides = {}
    for layer in get_args(Layer):
        module = model.get_submodule(map_module(name, layer))
        module.register_forward_hook(lambda _module, _inputs, output, at=layer: sides.update({at: output.shape[2:]}))
    with torch.inference_mode():
        model(torch.zeros(1, 32, 32, 3, dtype=torch.uint8))
    assert sides == {"layer2": (8, 8), "layer3": (4, 4), "layer4": (2, 2)}


@pytest.mark.parametrize("name", NAMES)
def test_the_tail_is_the_last_block_alone(name):
    """Counted on torchvision's networks: a ResNet's stage of 512 channels, a MobileNet's last bottleneck and 1x1."""
    net = torchvision.models.get_model(name, weights=None)
    last = net.layer4 if hasattr(net, "layer4") else net.features[-2:]
    assert parameters(untrained(name).tail) == parameters(last)


def test_every_backbone_has_a_title_for_card_and_page():
    assert set(BACKBONES) == set(NAMES)


def unfreezes_table():
    """README's table of what learns at each depth, in millions of parameters, with the committed head."""
    head = Head(**read_params(ROOT / "params.yaml")["backbone"]["head"])
    rows = ["| `backbone.name` | `fc`: the head | `layer4`: and the last block, which is | `full`: and the rest |"]
    rows += ["| --- | ---: | --- | ---: |"]
    for name in NAMES:
        model = Classifier(head, ["class"] * 10, 64, name)
        fc, layer4, full = (parameters(trainable(model, depth)) / 1e6 for depth in get_args(Depth))
        block = (
            "`layer4`" if hasattr(model.tail, "layer4") else f"`features[{next(iter(model.tail.features._modules))}:]`"
        )
        rows.append(f"| `{name}` | {fc:.2f} M | {layer4:.2f} M, {block} | {full:.2f} M |")
    return "\n".join(rows)


def test_readme_says_what_each_depth_unfreezes():
    assert unfreezes_table() in (ROOT / "README.md").read_text()


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())
