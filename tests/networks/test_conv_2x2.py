import pytest
import torch
from torch import nn
from torch.nn import functional as F

from study.networks.conv_2x2 import Conv3x3, use_matrix_products
from study.pipeline.torchvision_shim import torchvision


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("side", [1, 2, 3, 4])
def test_training_gives_the_convolution_and_its_gradients(side, bias):
    torch.manual_seed(0)
    conv = Conv3x3(5, 7, 3, padding=1, bias=bias).double().train()
    maps = torch.randn(6, 5, side, side, dtype=torch.float64, requires_grad=True)
    outputs = conv(maps)
    expected = F.conv2d(maps, conv.weight, conv.bias, padding=1)
    torch.testing.assert_close(outputs, expected)
    towards = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(outputs, [maps, *conv.parameters()], towards),
        torch.autograd.grad(expected, [maps, *conv.parameters()], towards),
    )


def test_autocast_trains_on_2x2_maps_in_bfloat16_with_gradients_in_float32():
    torch.manual_seed(0)
    conv = Conv3x3(5, 7, 3, padding=1, bias=False).train()
    maps = torch.randn(6, 5, 2, 2).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs, expected = conv(maps), F.conv2d(maps, conv.weight, padding=1)
    assert outputs.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(outputs, expected)
    ours, theirs = (torch.autograd.grad(result.float().sum(), conv.weight)[0] for result in (outputs, expected))
    assert ours.dtype == theirs.dtype == torch.float32
    torch.testing.assert_close(ours, theirs, rtol=0.016, atol=0.05)


DENSE = {"kernel_size": 3, "stride": 1, "padding": 1, "bias": False}


@pytest.mark.parametrize("change", [{}, {"kernel_size": (3, 3)}, {"padding": (1, 1)}, {"bias": True}])
def test_a_dense_3x3_convolution_is_replaced(change):
    network = nn.Sequential(nn.Conv2d(4, 4, **DENSE | change))
    use_matrix_products(network)
    assert type(network[0]) is Conv3x3


@pytest.mark.parametrize(
    "change",
    [
        {"kernel_size": 1},
        {"kernel_size": 5},
        {"kernel_size": (3, 1)},
        {"stride": 2},
        {"padding": 0},
        {"padding": 2},
        {"padding": "same"},
        {"dilation": 2},
        {"groups": 4},
        {"padding_mode": "reflect"},
    ],
    ids=str,
)
def test_any_other_convolution_is_left_alone(change):
    layer = nn.Conv2d(4, 4, **DENSE | change)
    network = nn.Sequential(layer)
    use_matrix_products(network)
    assert network[0] is layer and type(layer) is nn.Conv2d


def test_a_subclass_which_may_compute_something_else_is_left_alone():
    class Standardised(nn.Conv2d):
        pass

    network = nn.Sequential(Standardised(4, 4, **DENSE))
    use_matrix_products(network)
    assert type(network[0]) is Standardised


@pytest.fixture
def resnet():
    torch.manual_seed(0)
    return torchvision.models.resnet18(weights=None)


def test_a_resnet_s_parameters_stay_the_very_same_objects_in_the_same_order(resnet):
    before = dict(resnet.named_parameters())
    use_matrix_products(resnet)
    after = dict(resnet.named_parameters())
    assert list(after) == list(before)
    assert all(after[name] is parameter for name, parameter in before.items())
    # Of its twenty convolutions the first is 7x7, three are of stride 2 and three are 1x1.
    assert sum(isinstance(layer, Conv3x3) for layer in resnet.modules()) == 20 - 1 - 3 - 3


def test_nothing_is_drawn_from_torchs_random_state(resnet):
    before = torch.get_rng_state()
    use_matrix_products(resnet)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_network_puts_out_the_same_bytes_after_as_before_where_no_map_is_2x2(resnet):
    pixels = torch.randn(2, 3, 96, 96)
    with torch.inference_mode():
        expected = resnet.eval()(pixels)
        use_matrix_products(resnet)
        assert torch.equal(resnet.eval()(pixels), expected)


def test_a_network_trains_on_2x2_maps_as_before_but_for_rounding(resnet):
    pixels, labels = torch.randn(8, 3, 64, 64, dtype=torch.float64), torch.arange(8)
    network = resnet.double().train()

    def gradients():
        network.zero_grad()
        F.cross_entropy(network(pixels), labels).backward()
        return [parameter.grad.clone() for parameter in network.parameters()]

    before = gradients()
    use_matrix_products(network)
    assert type(network.layer4[1].conv1) is Conv3x3
    torch.testing.assert_close(gradients(), before)
