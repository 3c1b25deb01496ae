"""Class activation maps: which places of an image speak for a class, by three rules.

Grad-CAM: Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization".
HiResCAM: Draelos & Carin 2020, "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural
networks". LayerCAM: Jiang et al. 2021, "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization".
"""

from collections.abc import Callable
from typing import Annotated, Literal, get_args

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from stages.common.backbones import Layer, map_size
from stages.common.corruption import CORRUPTIONS
from stages.common.device import device
from stages.common.model import Classifier
from stages.common.params import Block, Refusal, Seed

Method = Literal["grad_cam", "hirescam", "layer_cam"]

SMALLEST_MAP = 4  # cells a side; a coarser map says nothing about where

# What an activation weighs, given the gradient (N, K, h, w) of the class's logit by the activations.
WEIGHTS: dict[Method, Callable[[Tensor], Tensor]] = {
    "grad_cam": lambda gradient: gradient.mean(dim=(2, 3), keepdim=True),
    "hirescam": lambda gradient: gradient,
    "layer_cam": torch.relu,
}
TITLES: dict[Method, str] = {"grad_cam": "Grad-CAM", "hirescam": "HiResCAM", "layer_cam": "LayerCAM"}


class GradCam(Block):
    """`gradcam`: the layer whose activations are weighed, what is shown, and how many images the maps are tested on."""

    layer: Layer
    images: Annotated[int, Field(ge=20, le=200)]  # in the galleries of hits and misses together
    corruption: Literal[*CORRUPTIONS]  # of the gallery that sets clean beside corrupted
    severity: Annotated[int, Field(ge=1, le=5)]
    faithfulness_images: Annotated[int, Field(ge=10, le=1000)]  # for deletion, insertion and the randomisation check
    seed: Seed


def require_map(layer: Layer, image_size: int, map_size: Callable[[Layer, int], int] = map_size) -> None:
    """Raises Refusal, naming the layers that would do, when the layer's map is coarser than SMALLEST_MAP."""
    size = map_size(layer, image_size)
    if size < SMALLEST_MAP:
        allowed = [name for name in get_args(Layer) if map_size(name, image_size) >= SMALLEST_MAP]
        raise Refusal(
            f"params.yaml: gradcam.layer = {layer!r}: its map is {size}x{size} of an image of {image_size} pixels, and "
            f"under {SMALLEST_MAP}x{SMALLEST_MAP} it says nothing; allowed here: {', '.join(allowed)}"
        )


def cams(
    model: Classifier, images: np.ndarray, classes: np.ndarray, layer: Layer, batch_size: int = 50
) -> dict[Method, np.ndarray]:
    """For each image the evidence, place by place, for the class beside it: float32 maps (N, h, w), by method.

    images: uint8 (N, H, W, 3); classes: int64 (N,). A map is ReLU(sum over k of w_k A_k), with A_k the layer's
    activations in evaluation mode and w_k made of g_k, the gradient of the class's logit by A_k: its mean over places
    (Grad-CAM), itself (HiResCAM) or ReLU(g_k) (LayerCAM). So no map is negative, and one is zero everywhere when no
    place speaks for the class. Nothing but the activations needs a gradient: a frozen model will do.
    """
    where = device()
    model = model.to(where).eval()
    batches = zip(torch.from_numpy(images).split(batch_size), torch.from_numpy(classes).split(batch_size), strict=True)
    maps = torch.cat([_maps(model, some.to(where), of.to(where), layer).cpu() for some, of in batches], dim=1)
    return dict(zip(WEIGHTS, maps.numpy(), strict=True))


def _maps(model: Classifier, images: Tensor, classes: Tensor, layer: Layer) -> Tensor:
    """(methods, N, h, w), in the order of WEIGHTS."""
    kept = []

    def keep(_module: nn.Module, _inputs: tuple, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[-1]

    hook = model.map_module(layer).register_forward_hook(keep)
    try:
        logits = model(images)
    finally:
        hook.remove()
    activations = kept[0]  # of the image itself: some models look at its mirror image too
    # In evaluation mode no logit depends on another image's activations: the sum's gradient is each one's own.
    (gradient,) = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), activations)
    weighed = [(weight(gradient) * activations).sum(dim=1) for weight in WEIGHTS.values()]
    return torch.stack(weighed).relu().detach()


def heatmap(maps: np.ndarray, size: int) -> np.ndarray:
    """Maps (N, h, w) interpolated to (N, size, size) and each `scaled`: float32 in [0, 1]."""
    smooth = F.interpolate(torch.from_numpy(maps)[:, None], size=(size, size), mode="bilinear")[:, 0]
    return scaled(smooth.numpy())


def scaled(maps: np.ndarray) -> np.ndarray:
    """Each map (h, w) of (N, h, w), not negative, divided by its maximum; one that is zero everywhere stays so.

    >>> scaled(np.array([[[0.0, 0.5]], [[0.0, 0.0]]])).tolist()
    [[[0.0, 1.0]], [[0.0, 0.0]]]
    """
    peaks = maps.max(axis=(1, 2), keepdims=True)
    return np.divide(maps, peaks, out=np.zeros_like(maps), where=peaks > 0)
