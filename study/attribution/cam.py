"""Class activation maps: which regions of an image support a class, by three methods.

Grad-CAM: Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization".
HiResCAM: Draelos & Carin 2020, "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural
networks". LayerCAM: Jiang et al. 2021, "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization".
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from study.corruption.catalogue import CorruptionName
from study.networks.classifier import Classifier
from study.networks.device import device
from study.networks.stages import Layer, map_size
from study.pipeline.params import Block, Refusal, Seed

Method = Literal["grad_cam", "hirescam", "layer_cam"]

SMALLEST_MAP = 4  # cells per side; a coarser map does not localise

# The weights of activations, given the gradient (N, K, h, w) of the class's logit with respect to them.
WEIGHTS: dict[Method, Callable[[Tensor], Tensor]] = {
    "grad_cam": lambda gradient: gradient.mean(dim=(2, 3), keepdim=True),
    "hirescam": lambda gradient: gradient,
    "layer_cam": torch.relu,
}
TITLES: dict[Method, str] = {"grad_cam": "Grad-CAM", "hirescam": "HiResCAM", "layer_cam": "LayerCAM"}


class GradCam(Block):
    """`gradcam`: the layer of the maps, the images shown, and how many images test the maps."""

    layer: Layer
    images: Annotated[int, Field(ge=20, le=200)]  # in the galleries of hits and misses together
    corruption: CorruptionName  # in the gallery of clean and corrupted images
    severity: Annotated[int, Field(ge=1, le=5)]
    faithfulness_images: Annotated[int, Field(ge=10, le=1000)]  # for deletion, insertion and the randomisation check
    seed: Seed


def require_map(layer: Layer, stages: nn.Sequential, image_size: int) -> None:
    """Raises Refusal, naming the layers that would work, when the layer's map is coarser than SMALLEST_MAP.

    stages: a backbone's; image_size: pixels per side of what it is given.
    """
    sizes = {name: map_size(stages, name, image_size) for name in get_args(Layer)}
    size = sizes[layer]
    if size < SMALLEST_MAP:
        allowed = [name for name, cells in sizes.items() if cells >= SMALLEST_MAP]
        raise Refusal(
            f"params.yaml: gradcam.layer = {layer!r}: its map is {size}x{size} of an image of {image_size} pixels, and "
            f"under {SMALLEST_MAP}x{SMALLEST_MAP} it says nothing; allowed here: {', '.join(allowed)}"
        )


def deepest_layer(model: Classifier) -> Layer:
    """The layer of the deepest map that still localises: deeper maps say more about classes."""
    layers: list[Layer] = [of for of in get_args(Layer) if model.map_size(of) >= SMALLEST_MAP]
    return layers[-1]


def cams(
    model: Classifier, images: np.ndarray, classes: np.ndarray, layer: Layer, batch_size: int = 50
) -> dict[Method, np.ndarray]:
    """For each image, maps of the evidence for its class in `classes`: float32 (N, h, w), by method.

    images: uint8 (N, H, W, 3); classes: int64 (N,). A map is ReLU(sum over k of w_k A_k). A_k are the layer's
    activations in evaluation mode, and w_k comes from g_k, the gradient of the class's logit with respect to A_k: its
    spatial mean (Grad-CAM), itself (HiResCAM) or ReLU(g_k) (LayerCAM). So no map is negative, and a map is zero
    everywhere if no region supports the class. Only activations need gradients, so the model may be frozen.
    """
    where = device()
    model = model.to(where).eval()
    batches = zip(torch.from_numpy(images).split(batch_size), torch.from_numpy(classes).split(batch_size), strict=True)
    maps = torch.cat([_maps(model, some.to(where), of.to(where), layer).cpu() for some, of in batches], dim=1)
    return dict(zip(WEIGHTS, maps.numpy(), strict=True))


def _maps(model: Classifier, images: Tensor, classes: Tensor, layer: Layer) -> Tensor:
    """(methods, N, h, w), in the order of WEIGHTS."""
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[-1]

    hook = model.stage(layer).register_forward_hook(keep)
    try:
        logits = model(images)
    finally:
        hook.remove()
    activations = kept[0]  # the image's own; with `mirror`, its mirror image follows
    # In evaluation mode images are independent, so the sum's gradient holds each image's own.
    (gradient,) = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), activations)
    weighed = [(weight(gradient) * activations).sum(dim=1) for weight in WEIGHTS.values()]
    return torch.stack(weighed).relu().detach()


def heatmap(maps: np.ndarray, size: int) -> np.ndarray:
    """Interpolate maps (N, h, w) to (N, size, size), and scale each with `scaled`: float32 in [0, 1]."""
    smooth = F.interpolate(torch.from_numpy(maps)[:, None], size=(size, size), mode="bilinear")[:, 0]
    return scaled(smooth.numpy())


def scaled(maps: np.ndarray) -> np.ndarray:
    """Divide each of the non-negative maps (N, h, w) by its maximum; a zero map stays zero.

    >>> scaled(np.array([[[0.0, 0.5]], [[0.0, 0.0]]])).tolist()
    [[[0.0, 1.0]], [[0.0, 0.0]]]
    """
    peaks = maps.max(axis=(1, 2), keepdims=True)
    shares: np.ndarray = np.divide(maps, peaks, out=np.zeros_like(maps), where=peaks > 0)
    return shares
