import sys

import pytest
import torch
from torch import nn

from study.networks.timm_backbones import LITE0, create, require_stages, untrained
from study.networks.trunk_and_tail import PIXEL_MEAN, PIXEL_STD
from study.pipeline.params import Refusal

LAST = {  # the modules with weights from the last stage on
    LITE0: {"blocks.6", "conv_head", "bn2"},
    "timm/resnet10t": {"layer4"},
    "timm/convnext_atto": {"stages.3", "head.norm"},
    "timm/mobilenetv3_small_050": {"blocks.5", "conv_head"},
    "timm/regnetx_002": {"s4"},
}


@pytest.mark.parametrize("name", LAST)
def test_trunk_and_tail_make_up_timm_s_network(name, require_same_features):
    torch.manual_seed(0)
    require_same_features(create(name), untrained(name), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", LAST)
def test_the_tail_is_the_last_stage_and_what_follows(name, shapes_alone):
    def of_last(path):
        return [prefix for prefix in LAST[name] if path.startswith(f"{prefix}.")]

    trunk, tail, *_ = untrained(name)
    assert {prefix for path, _ in tail.named_parameters() for prefix in of_last(path) or [path]} == LAST[name]
    assert [path for path, _ in trunk.named_parameters() if of_last(path)] == []


@pytest.mark.parametrize("name", [LITE0, "timm/mobilenetv3_small_050"])
def test_running_statistics_follow_at_torchs_pace(name, shapes_alone):
    trunk, tail, *_ = untrained(name)
    layers = [layer for part in (trunk, tail) for layer in part.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert {layer.momentum for layer in layers} == {0.1}


def test_pixels_are_normalised_as_the_weights_expect(shapes_alone):
    assert untrained("timm/convnext_atto")[4:] == (PIXEL_MEAN, PIXEL_STD)
    assert untrained("timm/mobilevit_xxs")[4:] == ((0, 0, 0), (1, 1, 1))
    assert untrained(LITE0)[4:] == ((127 / 255,) * 3, (128 / 255,) * 3)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("timm/vit_tiny_patch16_224", "it has no stage of stride 8"),
        ("timm/mvitv2_tiny", "it has no stage of stride 8"),  # timm's list names modules that it lacks
        ("timm/vgg11", "its last stage, features.20, has no weights"),
    ],
)
def test_a_network_without_stages_to_unfreeze_is_refused(name, reason, shapes_alone):
    with pytest.raises(Refusal, match=f"{name}' cannot be unfrozen by stages: {reason}"):
        untrained(name)


@pytest.mark.parametrize("name", ["timm/mambaout_femto", "timm/inception_v3"])  # (N, h, w, K), and no padding
def test_a_network_whose_maps_have_other_sizes_is_refused(name):
    with pytest.raises(Refusal, match="yields no 12x12 map of an image of 96 pixels"):
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
