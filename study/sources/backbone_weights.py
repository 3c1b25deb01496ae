"""The backbone's starting weights: a torchvision state dict without its classifier."""

import hashlib
import socket
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn import functional as F

from study.networks.backbones import BackboneName
from study.pipeline.params import Refusal
from study.pipeline.torchvision_shim import torchvision

Weights = Literal["tinyimagenet", "imagenet", "none"]

BUNDLED = Path("weights/resnet18_tinyimagenet.safetensors")  # its README says where it comes from
BUNDLED_SHA256 = "39b2cca5a084d76e9b5370866e5c270755110f2985f1e7b8fc94e80134546be6"
TIMEOUT = 15  # seconds without an answer
SEED = 0  # of `none`
MEASURED, MEASURED_SIDE = 128, 64  # images, and pixels a side, that the batch norms of `none` take their variances from


def require_bundled(name: BackboneName, weights: Weights) -> None:
    """Raises Refusal when the bundled weights are requested for another backbone than theirs."""
    if weights == "tinyimagenet" and name != "resnet18":
        raise Refusal(
            f"params.yaml: backbone.weights = tinyimagenet fits resnet18 only, and backbone.name = {name}: choose "
            "imagenet or none"
        )


def backbone_weights(name: BackboneName, weights: Weights, root: Path) -> dict[str, Tensor]:
    """The state dict that `backbone.name` and `backbone.weights` select.

    `tinyimagenet` is bundled (float16, sha256 checked), `imagenet` is torchvision's (hash-checked download), `none` is
    torchvision's random initialisation, which needs `rescaled` before it can be frozen. Raises Refusal when a file is
    damaged or cannot be downloaded.
    """
    require_bundled(name, weights)
    match weights:
        case "tinyimagenet":
            state = _bundled(root)
        case "imagenet":
            state = _imagenet(imagenet(name))
        case "none":
            state = _random(name)
    return {key: tensor for key, tensor in state.items() if not key.startswith(("fc.", "classifier."))}


def rescaled(name: BackboneName, state: dict[str, Tensor], images: np.ndarray) -> dict[str, Tensor]:
    """The state dict of `none`, with batch norm variances set so that the mean square of each output is 1.

    They are measured layer by layer on the first of these images, uint8 (N, H, W, 3), as in Mishkin & Matas 2016, "All
    You Need Is a Good Init". With torchvision's own variances of 1, signals vanish in a deep frozen network: the
    features of a MobileNet are of the order of 1e-9.
    """
    pixels = torch.from_numpy(images[:MEASURED]).permute(0, 3, 1, 2).float()
    pixels = (pixels - pixels.mean((0, 2, 3), keepdim=True)) / (pixels.std((0, 2, 3), keepdim=True) + 1)
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        net = torchvision.models.get_model(name, weights=None).eval()
        net.load_state_dict(state, strict=False)  # all but the classifier
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.register_forward_pre_hook(_rescale)
        net(F.interpolate(pixels, size=MEASURED_SIDE, mode="bilinear"))
    return {key: net.state_dict()[key].clone() for key in state}


def _rescale(layer: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
    layer.get_buffer("running_var").fill_(inputs[0].square().mean())


def imagenet(name: BackboneName) -> torchvision.models.WeightsEnum:
    """torchvision's first version of the weights, trained without label smoothing or mixed images.

    Both raise accuracy on ImageNet but yield features that transfer worse: Kornblith et al. 2021, "Why Do Better Loss
    Functions Lead to Less Transferable Features?".
    """
    return torchvision.models.get_model_weights(name).IMAGENET1K_V1


def _bundled(root: Path) -> dict[str, Tensor]:
    content = (root / BUNDLED).read_bytes()
    if hashlib.sha256(content).hexdigest() != BUNDLED_SHA256:
        raise Refusal(f"{BUNDLED} is damaged (its sha256 is not {BUNDLED_SHA256}): restore it with `git checkout`")
    return load(content)


def _imagenet(entry: torchvision.models.WeightsEnum) -> dict[str, Tensor]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)  # torch.hub sets none and would wait for a silent host forever
    try:
        state: dict[str, Tensor] = entry.get_state_dict(check_hash=True, weights_only=True)
        return state
    except (OSError, RuntimeError) as fault:
        reason = str(fault).partition("\n")[0]
        raise Refusal(
            f"backbone.weights = imagenet: {entry.url} cannot be downloaded ({reason}): try again, or use the bundled "
            "resnet18: -S backbone.name=resnet18 -S backbone.weights=tinyimagenet"
        ) from None
    finally:
        socket.setdefaulttimeout(before)


def _random(name: BackboneName) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        state: dict[str, Tensor] = torchvision.models.get_model(name, weights=None).state_dict()
        return state
