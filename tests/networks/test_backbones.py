from pathlib import Path
from typing import get_args

import pytest
import torch

from study.networks.backbones import BackboneName, Layer, map_module, untrained
from study.networks.classifier import Classifier, Depth, Head, trainable
from study.pipeline.params import read_params
from study.pipeline.torchvision_shim import torchvision
from study.reporting.formats import BACKBONES

ROOT = Path(__file__).parents[2]
NAMES = get_args(BackboneName)


@pytest.fixture
def shapes_alone():
    """Networks have shapes and no numbers: to draw hundreds of millions takes seconds."""
    with torch.device("meta"):
        yield


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
def test_every_layer_is_a_map_of_its_stride(name, shapes_alone):
    model = Classifier(Head(hidden=[], dropout=0.0), ["a", "b"], 64, name).eval()
    sides = {}
    for layer in get_args(Layer):
        module = model.get_submodule(map_module(name, layer))
        module.register_forward_hook(lambda _module, _inputs, output, at=layer: sides.update({at: output.shape[2:]}))
    with torch.inference_mode():
        model(torch.zeros(1, 32, 32, 3, dtype=torch.uint8))
    assert sides == {"layer2": (8, 8), "layer3": (4, 4), "layer4": (2, 2)}


@pytest.mark.parametrize("name", NAMES)
def test_the_tail_is_the_last_block_alone(name, shapes_alone):
    """Counted on torchvision's networks: a ResNet's stage of 512 channels, a MobileNet's last bottleneck and 1x1."""
    net = torchvision.models.get_model(name, weights=None)
    last = net.layer4 if hasattr(net, "layer4") else net.features[-2:]
    assert parameters(untrained(name).tail) == parameters(last)


def test_every_backbone_has_a_title_for_card_and_page():
    assert set(BACKBONES) == set(NAMES)


def unfreezes_table():
    """The pages' table of what learns at each depth, in millions of parameters, with the committed head."""
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


def test_a_page_says_what_each_depth_unfreezes(shapes_alone):
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert any(unfreezes_table() in page.read_text() for page in pages)


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())
