"""A backbone as a row of stages: stem, layer1 to layer4, and the pooling that follows.

`layer1` to `layer4` end with the last map of stride 4, 8, 16 and 32, as a ResNet's do. `stem` is what precedes them.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

Layer = Literal["layer2", "layer3", "layer4"]  # those whose maps are explained
Stage = Literal["stem", "layer1", "layer2", "layer3", "layer4"]
UnfreezeFrom = Literal["fc", "layer4", "layer3", "layer2", "layer1", "stem"]  # the first part that learns; fc: the head

STAGES: tuple[Stage, ...] = get_args(Stage)
STRIDES: dict[Stage, int] = {"layer1": 4, "layer2": 8, "layer3": 16, "layer4": 32}  # pixels of the input per cell
POOL = "pool"

PIXEL_MEAN, PIXEL_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels in [0, 1]


class Backbone(NamedTuple):
    """A network without its classifier. `stages` maps pixels (N, 3, S, S) to pooled features (N, features)."""

    name: str
    stages: nn.Sequential  # of the names in STAGES, in order, and POOL; each holds modules under their library's names
    features: int
    pixel_mean: tuple[float, ...] = PIXEL_MEAN  # of the pixels that it was trained with, in [0, 1]
    pixel_std: tuple[float, ...] = PIXEL_STD


def row(modules: Iterable[tuple[str, nn.Module]], last: Mapping[Stage, str]) -> nn.Sequential:
    """Stages of these modules, given in the order in which they run, each with its path in its library's network.

    last: the path of each stage's last module, in order. What follows the last of them is POOL.

    >>> relu, norm = nn.ReLU(), nn.BatchNorm2d(4)
    >>> modules = [("act", relu), ("blocks.0", norm), ("blocks.1", nn.Flatten())]
    >>> stages = row(modules, {"stem": "act", "layer1": "blocks.0"})
    >>> [name for name, _ in stages.named_modules()][1:6]
    ['stem', 'stem.act', 'layer1', 'layer1.blocks', 'layer1.blocks.0']
    """
    ends = {path: stage for stage, path in last.items()}
    names = iter([*last, POOL])
    stages = OrderedDict[str, nn.Module]({next(names): nn.Sequential()})
    for path, module in modules:
        *containers, name = path.split(".")
        place: nn.Module = stages[next(reversed(stages))]
        for container in containers:
            if container not in dict(place.named_children()):
                place.add_module(container, nn.Sequential())
            place = place.get_submodule(container)
        place.add_module(name, module)
        if path in ends:
            stages[next(names)] = nn.Sequential()
    return nn.Sequential(stages)


def backbone_state(stages: nn.Sequential) -> dict[str, Tensor]:
    """The state dict under the library's names, which are those of the stages' modules without the stage."""
    return {_of_library(name): tensor for name, tensor in stages.state_dict().items()}


def load_backbone(stages: nn.Sequential, weights: Mapping[str, Tensor]) -> None:
    """Copy weights under their library's names; batch norm's counters may be missing.

    Raises RuntimeError, naming them, if any other is missing or unexpected.
    """
    own = stages.state_dict()
    known = {_of_library(name): name for name in own}
    if unexpected := sorted(weights.keys() - known.keys()):
        raise RuntimeError(f"unexpected tensors: {', '.join(unexpected)}")
    if missing := [name for name in known if name not in weights and not name.endswith("num_batches_tracked")]:
        raise RuntimeError(f"missing tensors: {', '.join(missing)}")
    found = {known[name]: tensor.to(own[known[name]].dtype) for name, tensor in weights.items()}
    stages.load_state_dict(own | found)


def _of_library(name: str) -> str:
    return name.partition(".")[2]


def map_size(stages: nn.Sequential, layer: Layer, image_size: int) -> int:
    """Cells per side of the layer's map of an image of this size, in pixels."""
    training = stages.training
    maps = torch.zeros(1, 3, image_size, image_size, device=next(stages.parameters()).device)
    with torch.inference_mode():
        for name, stage in stages.eval().named_children():
            maps = stage(maps)
            if name == layer:
                break
    stages.train(training)
    return maps.shape[-1]
