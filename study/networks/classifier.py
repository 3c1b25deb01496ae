"""The classifier: from image to logits, with its preprocessing inside, split where it can be frozen."""

import json
from collections import OrderedDict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional as F

from study.networks.backbones import untrained
from study.networks.conv_2x2 import use_matrix_products
from study.networks.trunk_and_tail import Layer, map_size
from study.pipeline.params import Block

Depth = Literal["fc", "layer4", "full"]
LEAST_IMAGE_SIZE = 32
ImageSize = Annotated[int, Field(ge=LEAST_IMAGE_SIZE, le=512)]  # pixels per side, after resizing


class Head(Block):
    """`backbone.head`: the layers between pooled features and logits."""

    # units of each hidden layer; [] is a linear head
    hidden: Annotated[list[Annotated[int, Field(ge=1, le=4096)]], Field(max_length=16)]
    dropout: Annotated[float, Field(ge=0, lt=1)]


class Classifier(nn.Module):
    """A backbone over resized images, and a head.

    `preprocess` maps images, uint8 (N, H, W, 3), to pixels (N, 3, S, S); `trunk` maps those to activations (for a
    ResNet-18, layer3's (N, 256, S/16, S/16)); `tail` to pooled features (N, F); `head` to float32 logits (N, C). With
    `mirror`, logits in evaluation mode are the mean of those for the image and for its mirror image.
    """

    mean: Tensor
    std: Tensor
    untrained = staticmethod(untrained)
    map_size = staticmethod(map_size)

    def __init__(self, head: Head, classes: list[str], image_size: int, backbone: str = "resnet18") -> None:
        """image_size: pixels per side, S. Both it and `mirror`, which is off, may change at any time."""
        super().__init__()
        self.config: dict[str, Any] = {
            "backbone": backbone,
            "head": head.model_dump(),
            "classes": classes,
            "image_size": image_size,
        }
        self.image_size = image_size
        self.mirror = False
        parts = self.untrained(backbone)
        self.trunk, self.tail = parts.trunk, parts.tail
        use_matrix_products(self)
        self.head = perceptron(parts.features, head, len(classes))
        self._maps = parts.maps
        self.register_buffer("mean", 255 * torch.tensor(parts.pixel_mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(parts.pixel_std).view(1, 3, 1, 1), persistent=False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks the keyword

    def preprocess(self, images: Tensor) -> Tensor:
        """Normalise, then resize bilinearly to the model's resolution."""
        pixels = (images.permute(0, 3, 1, 2).float() - self.mean) / self.std
        return F.interpolate(pixels, size=(self.image_size, self.image_size), mode="bilinear")

    def forward(self, images: Tensor) -> Tensor:
        if self.mirror and not self.training:
            return (self._logits(images) + self._logits(images.flip(2))) / 2
        return self._logits(images)

    def _logits(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.tail(self.trunk(self.preprocess(images))))
        return logits.float()

    def map_module(self, layer: Layer) -> nn.Module:
        """The module whose output is `layer`'s map, of `map_size(layer, image_size)` cells per side."""
        return self.get_submodule(self._maps[layer])


def perceptron(features: int, head: Head, classes: int) -> nn.Sequential:
    """A linear classifier after hidden ReLU layers of `head.hidden` units; dropout before each linear layer."""
    widths = [features, *head.hidden]
    hidden = [
        layer
        for inputs, outputs in pairwise(widths)
        for layer in (nn.Dropout(head.dropout), nn.Linear(inputs, outputs), nn.ReLU())
    ]
    return nn.Sequential(*hidden, nn.Dropout(head.dropout), nn.Linear(widths[-1], classes))


def pretrained(weights: Path, head: Head, classes: list[str], image_size: int) -> Classifier:
    """The backbone stored in `weights`, under a new head drawn from torch's global random state.

    Returned in evaluation mode.
    """
    with safe_open(weights, "pt") as file:
        backbone = file.metadata()["backbone"]
    model = Classifier(head, classes, image_size, backbone)
    load_backbone(model, weights)
    return model.eval()


def load_backbone(model: Classifier, path: Path) -> None:
    """Copy the weights of torchvision's network, stored without its classifier, into trunk and tail.

    Raises RuntimeError, naming the tensors, when any is missing or unexpected.
    """
    weights = load_file(path)
    for part in (model.trunk, model.tail):
        names = part.state_dict().keys()
        part.load_state_dict({name: weights.pop(name).float() for name in names if name in weights})
    if weights:
        raise RuntimeError(f"{path} holds tensors that {model.config['backbone']} does not: {sorted(weights)}")


def trainable(model: Classifier, depth: Depth) -> nn.Module:
    """The part of `model` that learns at this depth; the rest is frozen.

    Frozen means no gradients, and batch norm with its stored statistics. The part's input is the output of the frozen
    rest: pooled features (fc), the trunk's activations (layer4) or images (full).
    """
    last = nn.Sequential(OrderedDict(tail=model.tail, head=model.head))
    parts: dict[Depth, nn.Module] = {"fc": model.head, "layer4": last, "full": model}
    model.requires_grad_(False).eval()
    return parts[depth].requires_grad_(True)


def lr_groups(part: nn.Module) -> list[list[nn.Parameter]]:
    """The parameters of a part that `trainable` returned, by distance from the logits: head, tail, trunk."""
    parts = [getattr(part, name) for name in ("head", "tail", "trunk") if hasattr(part, name)] or [part]
    return [list(of.parameters()) for of in parts]


def blocks(model: Classifier) -> Iterator[str]:
    """The paths of the modules with parameters, from the logits down: head, then block by block."""
    yield "head"
    for part in ("tail", "trunk"):
        for name, module in reversed(list(model.get_submodule(part).named_children())):
            if isinstance(module, nn.Sequential):
                yield from (f"{part}.{name}.{child}" for child, _ in reversed(list(module.named_children())))
            elif any(True for _ in module.parameters()):
                yield f"{part}.{name}"


def save_classifier(model: Classifier, path: Path) -> None:
    """Write safetensors: the weights, and in the metadata the config that rebuilds the model."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    content = save(tensors, {"config": json.dumps(model.config)})  # save_file hides a full disk behind its own error
    path.write_bytes(content)
