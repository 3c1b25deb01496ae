"""The backbone's starting weights: a torchvision state dict without its classifier."""

import hashlib
import socket
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load
from torch import Tensor

from stages.common.backbones import BackboneName
from stages.common.params import Refusal
from stages.common.torchvision_shim import torchvision

Weights = Literal["tinyimagenet", "imagenet", "none"]

BUNDLED = Path("weights/resnet18_tinyimagenet.safetensors")  # its README says where it comes from
BUNDLED_SHA256 = "39b2cca5a084d76e9b5370866e5c270755110f2985f1e7b8fc94e80134546be6"
TIMEOUT = 15  # seconds without an answer
SEED = 0  # of `none`


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
    torchvision's random initialisation. Raises Refusal when a file is damaged or cannot be had.
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
