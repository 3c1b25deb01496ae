"""Grad-CAM: which places of an image speak for a class. Selvaraju et al. 2017, "Grad-CAM: Visual Explanations"."""

from typing import Annotated, Literal, get_args

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from stages.common.device import device
from stages.common.model import Classifier
from stages.common.params import Block, Refusal

Layer = Literal["layer2", "layer3", "layer4"]

STRIDE: dict[Layer, int] = {"layer2": 8, "layer3": 16, "layer4": 32}  # pixels of the upsampled image per cell
SMALLEST_MAP = 4  # cells a side; a coarser map says nothing about where


class GradCam(Block):
    """`gradcam`: the layer whose activations are weighed, and how many images are shown in all."""

    layer: Layer
    images: Annotated[int, Field(ge=20, le=200)]


def map_size(layer: Layer, image_size: int) -> int:
    """Cells a side of the layer's map. A convolution of stride 2 rounds up.

    >>> map_size("layer3", 64), map_size("layer4", 225)
    (4, 8)
    """
    return -(-image_size // STRIDE[layer])


def require_map(layer: Layer, image_size: int) -> None:
    """Raises Refusal, naming the layers that would do, when the layer's map is coarser than SMALLEST_MAP."""
    size = map_size(layer, image_size)
    if size < SMALLEST_MAP:
        allowed = [name for name in get_args(Layer) if map_size(name, image_size) >= SMALLEST_MAP]
        raise Refusal(
            f"params.yaml: gradcam.layer = {layer!r}: its map is {size}x{size} at train.common.image_size = "
            f"{image_size}, and under {SMALLEST_MAP}x{SMALLEST_MAP} it says nothing; allowed here: {', '.join(allowed)}"
        )


def grad_cam(
    model: Classifier, images: np.ndarray, classes: np.ndarray, layer: Layer, batch_size: int = 50
) -> np.ndarray:
    """For each image the evidence, place by place, for the class beside it: float32 maps (N, h, w), not negative.

    images: uint8 (N, H, W, 3); classes: int64 (N,). A map is ReLU(sum over k of w_k A_k), with A_k the layer's
    activations in evaluation mode and w_k the mean over places of the gradient of the class's logit by A_k. It is
    zero everywhere when no place speaks for the class. Nothing but the activations needs a gradient, so a frozen
    model will do.
    """
    where = device()
    model = model.to(where).eval()
    batches = zip(torch.from_numpy(images).split(batch_size), torch.from_numpy(classes).split(batch_size), strict=True)
    return torch.cat([_maps(model, some.to(where), of.to(where), layer).cpu() for some, of in batches]).numpy()


def _maps(model: Classifier, images: Tensor, classes: Tensor, layer: Layer) -> Tensor:
    kept = []

    def keep(_module: nn.Module, _inputs: tuple, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[0]

    hook = getattr(model.tail if layer == "layer4" else model.trunk, layer).register_forward_hook(keep)
    try:
        logits = model(images)
    finally:
        hook.remove()
    (activations,) = kept
    # In evaluation mode no logit depends on another image's activations: the sum's gradient is each one's own.
    (gradient,) = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), activations)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return (weights * activations).sum(dim=1).relu().detach()


def heatmap(maps: np.ndarray, size: int) -> np.ndarray:
    """Maps (N, h, w) interpolated to (N, size, size), each divided by its maximum: float32 in [0, 1].

    A map that is zero everywhere stays so.
    """
    smooth = F.interpolate(torch.from_numpy(maps)[:, None], size=(size, size), mode="bilinear")[:, 0]
    peaks = smooth.amax(dim=(1, 2), keepdim=True)
    return torch.where(peaks > 0, smooth / peaks, 0.0).numpy()
