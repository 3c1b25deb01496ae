from pathlib import Path
from typing import get_args

import pytest
import torch

from study.networks.backbones import NAMES, BackboneName
from study.networks.classifier import Classifier, Depth, Head, trainable
from study.networks.trunk_and_tail import STRIDES, Layer
from study.pipeline.params import Refusal, parse, read_params
from study.reporting.formats import BACKBONES

ROOT = Path(__file__).parents[2]
TIMM = ("timm/resnet10t", "timm/convnext_atto", "timm/mobilenetv3_small_050", "timm/regnetx_002")


@pytest.mark.parametrize("name", [*NAMES, "timm/resnet26", "timm/xception41.tf_in1k"])
def test_a_name_is_listed_or_one_of_timm_s(name):
    assert parse({"backbone": {"name": name}}, "backbone.name", BackboneName) == name


@pytest.mark.parametrize("name", ["vgg16", "tf_efficientnet_lite0", "timm/", "timm", "timm/resnet26\n", ""])
def test_another_name_is_refused_with_what_there_is(name):
    with pytest.raises(Refusal, match=r"choose resnet18, .*, efficientnet_lite0 or timm/NAME"):
        parse({"backbone": {"name": name}}, "backbone.name", BackboneName)


@pytest.mark.parametrize("image_size", [64, 96])
@pytest.mark.parametrize("name", [*NAMES, *TIMM])
def test_every_layer_is_a_map_of_its_stride(name, image_size, shapes_alone):
    model = Classifier(Head(hidden=[], dropout=0.0), ["a", "b"], image_size, name).eval()
    sides = {}
    for layer in get_args(Layer):
        model.map_module(layer).register_forward_hook(
            lambda _module, _inputs, output, at=layer: sides.update({at: output.shape[2:]})
        )
    with torch.inference_mode():
        model(torch.zeros(1, 32, 32, 3, dtype=torch.uint8))
    assert sides == {layer: 2 * (image_size / stride,) for layer, stride in STRIDES.items()}
    assert STRIDES == {"layer2": 8, "layer3": 16, "layer4": 32}


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
        (first, block), *_ = model.tail.named_children()
        start = "" if first == "layer4" else f"[{next(iter(block._modules))}:]"
        rows.append(f"| `{name}` | {fc:.2f} M | {layer4:.2f} M, `{first}{start}` | {full:.2f} M |")
    return "\n".join(rows)


def test_a_page_says_what_each_depth_unfreezes(shapes_alone):
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert any(unfreezes_table() in page.read_text() for page in pages)


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())
