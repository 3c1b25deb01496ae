"""The parts that every backbone is cut into, and its maps."""

from typing import Literal, NamedTuple

from torch import nn

Layer = Literal["layer2", "layer3", "layer4"]

STRIDES: dict[Layer, int] = {"layer2": 8, "layer3": 16, "layer4": 32}  # pixels of the network's input per cell

PIXEL_MEAN, PIXEL_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels in [0, 1]


class Backbone(NamedTuple):
    """`trunk` maps pixels (N, 3, S, S) to activations; `tail`, the last block, maps those to (N, features), pooled."""

    trunk: nn.Sequential
    tail: nn.Sequential
    features: int
    maps: dict[Layer, str]  # the path of the module whose output is the layer's map, such as "trunk.layer3"
    pixel_mean: tuple[float, ...] = PIXEL_MEAN  # of the pixels that it was trained with, in [0, 1]
    pixel_std: tuple[float, ...] = PIXEL_STD


def map_size(layer: Layer, image_size: int) -> int:
    """Cells per side of the layer's map; a convolution of stride 2 rounds up.

    >>> map_size("layer3", 64), map_size("layer4", 225)
    (4, 8)
    """
    return -(-image_size // STRIDES[layer])
