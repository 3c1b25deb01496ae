"""A light residual network for small pictures, which trains from random weights in minutes on a CPU.

Its design follows "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (Jordan 2024), hlb-CIFAR10 (Balsam 2023) and "How
to Train Your ResNet" (Page 2018): a fixed first layer that whitens patches of pixels, pooling after the convolution
that widens, global max pooling for features, and small logits.
"""

from collections import OrderedDict
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PATCH = 2  # pixels per side of the patches that the first layer whitens
FLOOR = 5e-4  # added to the patches' variances, so that whitening does not amplify mere noise
WIDTHS = (64, 128, 256)  # channels of layer2, layer3 and layer4
SCALE = 1 / 8  # of the features, so that logits start small and label smoothing has little to undo


def light_resnet() -> tuple[nn.Sequential, int]:
    """The network without a head, untrained, and its number of pooled features.

    For 32-pixel images, layer2 yields maps (64, 15, 15), layer3 (128, 7, 7) and layer4 (256, 3, 3).
    """
    whitening = Whitening()
    channels = [len(whitening.weight), *WIDTHS]
    layer2, layer3, layer4 = (
        nn.Sequential(Widening(inputs, outputs), Residual(outputs)) for inputs, outputs in pairwise(channels)
    )
    parts = OrderedDict(whitening=whitening, activation=nn.SiLU(), layer2=layer2, layer3=layer3, layer4=layer4)
    return nn.Sequential(parts | {"pool": Pool()}), WIDTHS[-1]


class Whitening(nn.Module):
    """Map patches of pixels to uncorrelated coordinates of one scale, each with both signs. It has no parameters.

    From pixels (N, 3, S, S) to (N, 24, S - 1, S - 1).
    """

    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        size = 3 * PATCH * PATCH
        self.register_buffer("weight", torch.eye(size).view(size, 3, PATCH, PATCH).repeat(2, 1, 1, 1))

    def fit(self, pixels: Tensor) -> None:
        """Set the filters to the principal axes of all patches of pixels (N, 3, S, S), scaled to unit mean square."""
        patches = F.unfold(pixels, PATCH).transpose(1, 2).flatten(0, 1)
        power, axes = torch.linalg.eigh(patches.T @ patches / len(patches))
        filters = (axes / (power + FLOOR).sqrt()).T.flip(0).view(-1, 3, PATCH, PATCH)
        self.weight.copy_(torch.cat([filters, -filters]))

    def forward(self, pixels: Tensor) -> Tensor:
        return F.conv2d(pixels, self.weight)


class Widening(nn.Sequential):
    """Map to more channels at half the side. Pooling after the convolution costs four times its arithmetic."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(_convolution(inputs, outputs), nn.MaxPool2d(2), nn.BatchNorm2d(outputs), nn.SiLU())


class Residual(nn.Module):
    """Two convolutions, each with batch norm and SiLU, beside the identity. (N, C, h, w) to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers = [(_convolution(channels, channels), nn.BatchNorm2d(channels), nn.SiLU()) for _ in range(2)]
        self.branch = nn.Sequential(*layers[0], *layers[1])

    def forward(self, maps: Tensor) -> Tensor:
        change: Tensor = self.branch(maps)
        return maps + change


class Pool(nn.Module):
    """Global max pooling, scaled: (N, C, h, w) to (N, C)."""

    def forward(self, maps: Tensor) -> Tensor:
        return SCALE * maps.amax(dim=(2, 3))


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
