import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stages.common.small_map import Conv3x3, specialise


@pytest.mark.parametrize("side", [1, 2, 3, 4])
def test_training_gives_the_convolution_and_its_gradients(side):
    torch.manual_seed(0)
    conv = Conv3x3(5, 7, 3, padding=1, bias=False).double().train()
    maps = torch.randn(6, 5, side, side, dtype=torch.float64, requires_grad=True)
    outputs = conv(maps)
    expected = F.conv2d(maps, conv.weight, padding=1)
    torch.testing.assert_close(outputs, expected)
    towards = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(outputs, [maps, conv.weight], towards),
        torch.autograd.grad(expected, [maps, conv.weight], towards),
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


def test_specialise_takes_the_dense_3x3_convolutions_of_stride_one_alone():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=1, padding=1, bias=False),
        nn.Conv2d(4, 4, 3, stride=2, padding=1, bias=False),
        nn.Conv2d(4, 4, 1, bias=False),
        nn.Conv2d(4, 4, 3, stride=1, padding=1, groups=4, bias=False),
    )
    specialise(network)
    assert [type(module) for module in network] == [Conv3x3, nn.Conv2d, nn.Conv2d, nn.Conv2d]
