import sys

import pytest
import torch
from torch import nn

from study.networks.stages import PIXEL_MEAN, PIXEL_STD, STAGES
from study.networks.timm_backbones import LITE0, create, require_stages, untrained
from study.pipeline.params import Refusal

LAST = {  # the last module of each stage
    LITE0: ("blocks.0", "blocks.1", "blocks.2", "blocks.4", "blocks.6"),
    "timm/resnet10t": ("act1", "layer1", "layer2", "layer3", "layer4"),
    "timm/convnext_atto": ("stem", "stages.0", "stages.1", "stages.2", "stages.3"),
    "timm/mobilenetv3_small_050": ("bn1", "blocks.0", "blocks.1", "blocks.3", "blocks.5"),
    "timm/regnetx_002": ("stem", "s1", "s2", "s3", "s4"),
}


@pytest.mark.parametrize("name", LAST)
def test_the_stages_make_up_timm_s_network(name, require_same_features):
    torch.manual_seed(0)
    require_same_features(create(name), untrained(name), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", LAST)
def test_a_stage_ends_where_timm_says_that_a_map_of_its_stride_does(name, shapes_alone):
    stages = untrained(name).stages
    for stage, last in zip(STAGES, LAST[name], strict=True):
        (*_, (path, _)) = [named for named in stages.get_submodule(stage).named_modules() if named[0].count(".") <= 1]
        assert (path == last) or last in dict(stages.get_submodule(stage).named_modules())


@pytest.mark.parametrize("name", [LITE0, "timm/mobilenetv3_small_050"])
def test_running_statistics_follow_at_torchs_pace(name, shapes_alone):
    layers = [layer for layer in untrained(name).stages.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert {layer.momentum for layer in layers} == {0.1}


def test_pixels_are_normalised_as_the_weights_expect(shapes_alone):
    assert untrained("timm/convnext_atto")[3:] == (PIXEL_MEAN, PIXEL_STD)
    assert untrained("timm/mobilevit_xxs")[3:] == ((0, 0, 0), (1, 1, 1))
    assert untrained(LITE0)[3:] == ((127 / 255,) * 3, (128 / 255,) * 3)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("timm/vit_tiny_patch16_224", "it has no stage of stride 4"),
        ("timm/mvitv2_tiny", "it has no stage of stride 4"),  # timm's list names modules that it lacks
        ("timm/vgg11", "its "),
    ],
)
def test_a_network_without_stages_to_unfreeze_is_refused(name, reason, shapes_alone):
    with pytest.raises(Refusal, match=f"{name}' cannot be unfrozen by stages: {reason}"):
        untrained(name)


@pytest.mark.parametrize("name", ["timm/mambaout_femto", "timm/inception_v3"])  # (N, h, w, K), and no padding
def test_a_network_whose_maps_have_other_sizes_is_refused(name):
    with pytest.raises(Refusal, match="layer1 yields no 24x24 map of an image of 96 pixels"):
        require_stages(name, 96)


def test_a_check_leaves_torchs_generator_alone():
    torch.manual_seed(7)
    require_stages("timm/test_convnext", 64)
    drawn = torch.rand(1)
    torch.manual_seed(7)
    assert torch.equal(drawn, torch.rand(1))


def test_a_missing_timm_is_refused_with_the_way_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(Refusal, match=r"timm is not installed: pip install -r requirements/timm\.txt$"):
        create(LITE0)


def test_a_name_that_timm_lacks_is_refused_with_similar_ones():
    with pytest.raises(Refusal, match=r"'timm/resnet27': timm has no such network; similar: resnet2\w+, .*, "):
        create("timm/resnet27")
