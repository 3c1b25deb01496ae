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


def test_specialise_takes_the_dense_3x3_convolutions_of_stride_one_alone():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=1, padding=1, bias=False),
        nn.Conv2d(4, 4, 3, stride=2, padding=1, bias=False),
        nn.Conv2d(4, 4, 1, bias=False),
        nn.Conv2d(4, 4, 3, stride=1, padding=1, groups=4, bias=False),
    )
    specialise(network)
    assert [type(module) for module in network] == [Conv3x3, nn.Conv2d, nn.Conv2d, nn.Conv2d]
