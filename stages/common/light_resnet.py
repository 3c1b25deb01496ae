"""A light residual network for small pictures, made to learn from nothing in minutes on a CPU.

What makes it learn fast is known from "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (Jordan 2024), hlb-CIFAR10
(Balsam 2023) and "How to Train Your ResNet" (Page 2018): a first layer that whitens patches of pixels and is never
trained, pooling behind the convolution that widens, the maximum over all places as features, and small logits.
"""

from collections import OrderedDict
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.common.backbones import Backbone, Layer
from stages.common.model import Classifier

LIGHT_RESNET = "light_resnet"  # in the place of a backbone's name
PATCH = 2  # pixels a side of what the first layer whitens
FLOOR = 5e-4  # added to the patches' variances: whitening must not blow up directions that hold only noise
WIDTHS = (64, 128, 256)  # channels of layer2, layer3 and layer4
SCALE = 1 / 8  # of the features, so that the logits begin small and label smoothing has little to undo
POOLED: dict[Layer, int] = {"layer2": 2, "layer3": 4, "layer4": 8}  # cells of the first layer to one of this


def map_size(layer: Layer, image_size: int) -> int:
    """Cells a side of the layer's map: the first layer has one fewer than the image, and pooling rounds down.

    >>> [map_size(layer, 32) for layer in POOLED]
    [15, 7, 3]
    """
    return (image_size - PATCH + 1) // POOLED[layer]


class LightClassifier(Classifier):
    """A light residual network under a linear head, all of it drawn from torch's global random state.

    Before it is trained its first layer is to be fitted, by `whiten`. In evaluation mode the logits are the mean of
    those for the image and for its mirror image.
    """

    map_size = staticmethod(map_size)

    @staticmethod
    def untrained(_name: str) -> Backbone:
        return light_resnet()

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            return super().forward(images)
        return (super().forward(images) + super().forward(images.flip(2))) / 2

    @torch.inference_mode()
    def whiten(self, images: np.ndarray) -> None:
        """images: uint8 (N, H, W, 3), of those to train on."""
        self.trunk.whitening.fit(self.preprocess(torch.from_numpy(images)))


def light_resnet() -> Backbone:
    """The network under the head. Of 32-pixel images, layer2 yields maps (64, 15, 15), layer3 (128, 7, 7) and, in the
    tail, layer4 (256, 3, 3)."""
    whitening = Whitening()
    channels = [len(whitening.weight), *WIDTHS]
    layer2, layer3, layer4 = (
        nn.Sequential(Widening(inputs, outputs), Residual(outputs)) for inputs, outputs in pairwise(channels)
    )
    trunk = OrderedDict(whitening=whitening, activation=nn.SiLU(), layer2=layer2, layer3=layer3)
    tail = OrderedDict(layer4=layer4, pool=Pool())
    return Backbone(nn.Sequential(trunk), nn.Sequential(tail), WIDTHS[-1])


class Whitening(nn.Module):
    """Patches of pixels to coordinates without correlation and of one scale, each with both signs; it never learns.

    pixels (N, 3, S, S) to (N, 24, S - 1, S - 1).
    """

    def __init__(self) -> None:
        super().__init__()
        size = 3 * PATCH * PATCH
        self.register_buffer("weight", torch.eye(size).view(size, 3, PATCH, PATCH).repeat(2, 1, 1, 1))

    def fit(self, pixels: Tensor) -> None:
        """Take the principal axes of all patches of pixels (N, 3, S, S), the strongest first, to unit mean square."""
        patches = F.unfold(pixels, PATCH).transpose(1, 2).flatten(0, 1)
        power, axes = torch.linalg.eigh(patches.T @ patches / len(patches))
        filters = (axes / (power + FLOOR).sqrt()).T.flip(0).view(-1, 3, PATCH, PATCH)
        self.weight.copy_(torch.cat([filters, -filters]))

    def forward(self, pixels: Tensor) -> Tensor:
        return F.conv2d(pixels, self.weight)


class Widening(nn.Sequential):
    """To more channels on a map of half the side. Pooling behind the convolution costs four times its arithmetic."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(_convolution(inputs, outputs), nn.MaxPool2d(2), nn.BatchNorm2d(outputs), nn.SiLU())


class Residual(nn.Module):
    """Two convolutions, each normalised and rectified, beside the identity. (N, C, h, w) to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers = [(_convolution(channels, channels), nn.BatchNorm2d(channels), nn.SiLU()) for _ in range(2)]
        self.branch = nn.Sequential(*layers[0], *layers[1])

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.branch(maps)


class Pool(nn.Module):
    """The strongest place of every channel, scaled: (N, C, h, w) to (N, C)."""

    def forward(self, maps: Tensor) -> Tensor:
        return SCALE * maps.amax(dim=(2, 3))


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
