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

from stages.common.backbones import BackboneName
from stages.common.params import Refusal
from stages.common.torchvision_shim import torchvision

Weights = Literal["tinyimagenet", "imagenet", "none"]

BUNDLED = Path("weights/resnet18_tinyimagenet.safetensors")  # its README says where it comes from
BUNDLED_SHA256 = "39b2cca5a084d76e9b5370866e5c270755110f2985f1e7b8fc94e80134546be6"
TIMEOUT = 15  # seconds without an answer
SEED = 0  # of `none`
MEASURED, SIDE = 128, 64  # images, and pixels a side, that the batch norms of `none` take their variances from


def require_bundled(name: BackboneName, weights: Weights) -> None:
    """Raises Refusal when the bundled weights are asked for a backbone that they are not of."""
    if weights == "tinyimagenet" and name != "resnet18":
        raise Refusal(
            f"params.yaml: backbone.weights = tinyimagenet are a resnet18's, and backbone.name = {name}: take imagenet "
            "or none"
        )


def backbone_weights(name: BackboneName, weights: Weights, root: Path) -> dict[str, Tensor]:
    """The state dict that `backbone.name` and `backbone.weights` name.

    `tinyimagenet` is bundled (float16, sha256 checked), `imagenet` is torchvision's (hash-checked download), `none` is
    torchvision's random initialisation, which `rescaled` makes fit to be frozen. Raises Refusal when a file is damaged
    or cannot be had.
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
    """The state dict of `none`, the variances of its batch norms such that what each puts out has a mean square of 1.

    Measured layer by layer on the first of these images, uint8 (N, H, W, 3), in the manner of Mishkin & Matas 2016,
    "All You Need Is a Good Init". At torchvision's own 1 signals die out on their way through a deep frozen network:
    the features of a MobileNet are of the order of 1e-9.
    """
    pixels = torch.from_numpy(images[:MEASURED]).permute(0, 3, 1, 2).float()
    pixels = (pixels - pixels.mean((0, 2, 3), keepdim=True)) / (pixels.std((0, 2, 3), keepdim=True) + 1)
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        net = torchvision.models.get_model(name, weights=None).eval()
        net.load_state_dict(state, strict=False)  # all but the classifier
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.register_forward_pre_hook(_rescale)
        net(F.interpolate(pixels, size=SIDE, mode="bilinear"))
    return {key: net.state_dict()[key].clone() for key in state}


def _rescale(layer: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
    layer.running_var.fill_(inputs[0].square().mean())


def imagenet(name: BackboneName) -> torchvision.models.WeightsEnum:
    """torchvision's entry: the first version of each, trained without label smoothing and mixed images.

    Those raise the accuracy on ImageNet and make features that transfer worse: Kornblith et al. 2021, "Why Do Better
    Loss Functions Lead to Less Transferable Features?".
    """
    return torchvision.models.get_model_weights(name).IMAGENET1K_V1


def _bundled(root: Path) -> dict[str, Tensor]:
    content = (root / BUNDLED).read_bytes()
    if hashlib.sha256(content).hexdigest() != BUNDLED_SHA256:
        raise Refusal(f"{BUNDLED} is damaged (its sha256 is not {BUNDLED_SHA256}): restore it with `git checkout`")
    return load(content)


def _imagenet(entry: torchvision.models.WeightsEnum) -> dict[str, Tensor]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)  # torch.hub sets none: without it a silent host would be waited for for ever
    try:
        return entry.get_state_dict(check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as fault:
        reason = str(fault).partition("\n")[0]
        raise Refusal(
            f"backbone.weights = imagenet: {entry.url} cannot be had ({reason}): try again, or take the bundled "
            "resnet18: -S backbone.name=resnet18 -S backbone.weights=tinyimagenet"
        ) from None
    finally:
        socket.setdefaulttimeout(before)


def _random(name: BackboneName) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return torchvision.models.get_model(name, weights=None).state_dict()
