"""The classifier: from image to logits, with its preprocessing inside, as stages of which the first can be frozen."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from study.networks import stages
from study.networks.backbones import untrained
from study.networks.stages import Backbone, Layer, UnfreezeFrom, load_backbone
from study.pipeline.params import Block, Refusal

Learns = Literal["all", "batch_norm"]
LEAST_IMAGE_SIZE = 32
ImageSize = Annotated[int, Field(ge=LEAST_IMAGE_SIZE, le=512)]  # pixels per side, after resizing


class Head(Block):
    """`backbone.head`: the layers between pooled features and logits."""

    # units of each hidden layer; [] is a linear head
    hidden: Annotated[list[Annotated[int, Field(ge=1, le=4096)]], Field(max_length=16)]
    dropout: Annotated[float, Field(ge=0, lt=1)]


class Classifier(nn.Module):
    """A backbone over resized images, and a head.

    `preprocess` maps images, uint8 (N, H, W, 3), to pixels (N, 3, S, S); `backbone`, a row of stages, maps those to
    features (N, F); `head` to float32 logits (N, C). With `mirror`, logits in evaluation mode are the mean of those for
    the image and for its mirror image.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone, head: Head, classes: list[str], image_size: int) -> None:
        """The head is drawn from torch's global random state.

        image_size: pixels per side, S. Both it and `mirror`, which is off, may change at any time.
        """
        super().__init__()
        self.config: dict[str, Any] = {
            "backbone": backbone.name,
            "head": head.model_dump(),
            "classes": classes,
            "image_size": image_size,
        }
        self.image_size = image_size
        self.mirror = False
        self.backbone = backbone.stages
        self.features = backbone.features
        self.head = perceptron(backbone.features, head, len(classes))
        self._frozen: list[nn.Module] = []
        self.register_buffer("mean", 255 * torch.tensor(backbone.pixel_mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(backbone.pixel_std).view(1, 3, 1, 1), persistent=False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks the keyword

    def preprocess(self, images: Tensor) -> Tensor:
        """Normalise, then resize bilinearly to the model's resolution."""
        pixels = (images.permute(0, 3, 1, 2).float() - self.mean) / self.std
        return F.interpolate(pixels, size=(self.image_size, self.image_size), mode="bilinear")

    def pooled(self, images: Tensor) -> Tensor:
        """The backbone's features of images, uint8 (N, H, W, 3): (N, F)."""
        features: Tensor = self.backbone(self.preprocess(images))
        return features

    def forward(self, images: Tensor) -> Tensor:
        if self.mirror and not self.training:
            return (self._logits(images) + self._logits(images.flip(2))) / 2
        return self._logits(images)

    def _logits(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.pooled(images))
        return logits.float()

    def unfreeze_from(self, first: UnfreezeFrom, learns: Learns = "all") -> None:
        """Let the head learn, and the stages from `first` on: all of them, or their batch norms alone.

        Frozen means no gradients, and batch norm with its stored statistics, in training mode too. Raises Refusal when
        only batch norms are to learn and there are none.
        """
        named = dict(self.backbone.named_children())
        names = list(named)
        place = len(names) if first == "fc" else names.index(first)
        learning = [named[name] for name in names[place:]]
        self._frozen = [named[name] for name in names[:place]]
        self.requires_grad_(False)
        self.head.requires_grad_(True)
        for stage in learning:
            for module in stage.modules() if learns == "batch_norm" else [stage]:
                if learns == "all" or isinstance(module, _BatchNorm):
                    module.requires_grad_(True)
        if learns == "batch_norm" and learning and not any(p.requires_grad for p in self.backbone.parameters()):
            raise Refusal(
                f"params.yaml: learns = batch_norm: {self.config['backbone']} has no batch norm from {first} on"
            )
        self.train(self.training)

    def train(self, mode: bool = True) -> "Classifier":
        super().train(mode)
        for stage in self._frozen:
            stage.eval()
        return self

    def stage(self, name: str) -> nn.Module:
        """The stage of this name, whose output is its map."""
        return self.backbone.get_submodule(name)

    def map_size(self, layer: Layer) -> int:
        """Cells per side of the layer's map."""
        return stages.map_size(self.backbone, layer, self.image_size)


def perceptron(features: int, head: Head, classes: int) -> nn.Sequential:
    """A linear classifier after hidden ReLU layers of `head.hidden` units; dropout before each linear layer."""
    widths = [features, *head.hidden]
    hidden = [
        layer
        for inputs, outputs in pairwise(widths)
        for layer in (nn.Dropout(head.dropout), nn.Linear(inputs, outputs), nn.ReLU())
    ]
    return nn.Sequential(*hidden, nn.Dropout(head.dropout), nn.Linear(widths[-1], classes))


def pretrained(root: Path, head: Head, classes: list[str], image_size: int) -> Classifier:
    """The backbone that stage `backbone` stored, under a new head drawn from torch's global random state.

    Returned in evaluation mode. Raises RuntimeError, naming the tensors, when any is missing or unexpected.
    """
    path = backbone_path(root)
    with safe_open(path, "pt") as file:
        backbone = untrained(file.metadata()["backbone"])
    model = Classifier(backbone, head, classes, image_size)
    load_backbone(model.backbone, load_file(path))
    return model.eval()


def trainable(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def by_distance(network: nn.Module) -> list[list[nn.Parameter]]:
    """The parameters that learn, by distance from the logits: of a Classifier its head, then its stages, last first."""
    if not isinstance(network, Classifier):
        return [trainable(network)]
    groups = [trainable(part) for part in (network.head, *reversed(list(network.backbone.children())))]
    return [group for group in groups if group]


def backbone_path(root: Path) -> Path:
    return root / "data/backbone/weights.safetensors"


def model_path(root: Path, variant: str) -> Path:
    return root / f"models/{variant}.safetensors"


def save_classifier(model: Classifier, path: Path) -> None:
    """Write safetensors: the weights, and in the metadata the config that rebuilds the model."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    content = save(tensors, {"config": json.dumps(model.config)})  # save_file hides a full disk behind its own error
    path.write_bytes(content)
