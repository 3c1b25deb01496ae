from pathlib import Path
from typing import get_args

import pytest
import torch

from study.networks.backbones import NAMES, BackboneName, untrained
from study.networks.classifier import Classifier, Head, trainable
from study.networks.stages import POOL, STAGES, UnfreezeFrom
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
def test_every_stage_yields_a_map_of_its_stride(name, image_size, shapes_alone):
    maps, sides = torch.zeros(1, 3, image_size, image_size), {}
    with torch.inference_mode():
        for stage, part in untrained(name).stages.eval().named_children():
            maps = part(maps)
            sides[stage] = maps.shape[2:]
    assert list(sides) == [*STAGES, POOL]
    for stage, stride in {"layer1": 4, "layer2": 8, "layer3": 16, "layer4": 32}.items():
        assert sides[stage] == (image_size / stride, image_size / stride)


@pytest.mark.parametrize("name", [*NAMES, *TIMM])
def test_every_stage_has_something_to_learn(name, shapes_alone):
    for stage, part in untrained(name).stages.named_children():
        assert stage == POOL or any(parameter.ndim > 1 for parameter in part.parameters())


def test_every_backbone_has_a_title_for_card_and_page():
    assert set(BACKBONES) == set(NAMES)


def unfreezes_table():
    """The page's table of what learns from each stage on, in millions of parameters, with the committed head."""
    head = Head(**read_params(ROOT / "params.yaml")["backbone"]["head"])
    places = get_args(UnfreezeFrom)
    rows = [f"| `backbone.name` | {' | '.join(f'`{first}`' for first in places)} |"]
    rows += [f"| --- |{' ---: |' * len(places)}"]
    for name in NAMES:
        model, cells = Classifier(untrained(name), head, ["class"] * 10, 64), []
        for first in places:
            model.unfreeze_from(first)
            cells.append(f"{sum(parameter.numel() for parameter in trainable(model)) / 1e6:.2f} M")
        rows.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(rows)


def test_a_page_says_how_much_learns_from_each_stage_on(shapes_alone):
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert any(unfreezes_table() in page.read_text() for page in pages)
