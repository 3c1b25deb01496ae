"""The classifier: an image in, logits out, with its preprocessing inside and cut at its freezing depths."""

import json
from collections import OrderedDict
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from stages.common.params import Block
from stages.common.small_map import specialise
from stages.common.torchvision_shim import torchvision
from stages.common.variants import Variant

ImageSize = Annotated[int, Field(ge=32, le=512)]  # pixels a side, after upsampling

PIXEL_MEAN = (0.485, 0.456, 0.406)  # ImageNet's, in [0, 1]: every backbone here was trained with them
PIXEL_STD = (0.229, 0.224, 0.225)


class Head(Block):
    """`backbone.head`: what stands between the pooled features and the logits."""

    hidden: list[Annotated[int, Field(ge=1, le=4096)]]  # units of each hidden layer; [] is a linear head
    dropout: Annotated[float, Field(ge=0, lt=1)]


class Classifier(nn.Module):
    """A ResNet-18 over upsampled images, in three parts.

    images, uint8 (N, H, W, 3), `preprocess` to pixels (N, 3, S, S), `trunk` to layer3's activations
    (N, 256, S/16, S/16), `tail` to pooled features (N, 512), `head` to float32 logits (N, C).
    """

    def __init__(self, head: Head, classes: list[str], image_size: int) -> None:
        super().__init__()
        self.config = {"head": head.model_dump(), "classes": classes, "image_size": image_size}
        self.image_size = image_size
        net = torchvision.models.resnet18(weights=None)
        specialise(net)
        names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3")
        self.trunk = nn.Sequential(OrderedDict((name, getattr(net, name)) for name in names))
        self.tail = nn.Sequential(OrderedDict(layer4=net.layer4, avgpool=net.avgpool, flatten=nn.Flatten()))
        self.head = perceptron(net.fc.in_features, head, len(classes))
        self.register_buffer("mean", 255 * torch.tensor(PIXEL_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(PIXEL_STD).view(1, 3, 1, 1), persistent=False)
        self.to(memory_format=torch.channels_last)

    def preprocess(self, images: Tensor) -> Tensor:
        """Normalise, then resize bilinearly to the model's resolution."""
        pixels = (images.permute(0, 3, 1, 2).float() - self.mean) / self.std
        return F.interpolate(pixels, size=(self.image_size, self.image_size), mode="bilinear")

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.tail(self.trunk(self.preprocess(images)))).float()


def perceptron(features: int, head: Head, classes: int) -> nn.Sequential:
    """A linear classifier behind `head.hidden` layers of rectified units; dropout before each linear layer."""
    widths = [features, *head.hidden]
    hidden = [
        layer
        for inputs, outputs in pairwise(widths)
        for layer in (nn.Dropout(head.dropout), nn.Linear(inputs, outputs), nn.ReLU())
    ]
    return nn.Sequential(*hidden, nn.Dropout(head.dropout), nn.Linear(widths[-1], classes))


def pretrained(backbone: Path, head: Head, classes: list[str], image_size: int) -> Classifier:
    """The backbone's weights under a new head, drawn from torch's global random state; in evaluation mode."""
    model = Classifier(head, classes, image_size)
    load_backbone(model, backbone)
    return model.eval()


def load_backbone(model: Classifier, path: Path) -> None:
    """Copy a torchvision ResNet-18's weights, stored without its head, into trunk and tail.

    Raises RuntimeError, naming the tensors, when any is missing or left over.
    """
    weights = load_file(path)
    for part in (model.trunk, model.tail):
        names = part.state_dict().keys()
        part.load_state_dict({name: weights.pop(name).float() for name in names if name in weights})
    if weights:
        raise RuntimeError(f"{path} holds tensors that a ResNet-18 without head does not: {sorted(weights)}")


def trainable(model: Classifier, variant: Variant) -> nn.Module:
    """The part of `model` that learns in this variant; the rest is frozen.

    Frozen means no gradients, and batch norm with the statistics that it came with. The part's input is what the
    frozen rest yields: pooled features (fc), layer3's activations (layer4) or images (full).
    """
    part = {"fc": model.head, "layer4": nn.Sequential(model.tail, model.head), "full": model}[variant]
    model.requires_grad_(False).eval()
    return part.requires_grad_(True)


def save_classifier(model: Classifier, path: Path) -> None:
    """Weights, and in the file's metadata what rebuilds the model, as safetensors."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, path, {"config": json.dumps(model.config)})


def load_classifier(path: Path) -> Classifier:
    """The saved model, in evaluation mode. `model.config` has its classes and image size."""
    with safe_open(path, "pt") as file:
        config = json.loads(file.metadata()["config"])
    model = Classifier(Head(**config["head"]), config["classes"], config["image_size"])
    model.load_state_dict(load_file(path))
    return model.eval()
