"""The backbone's starting weights: a torchvision ResNet-18 state dict without its head."""

import hashlib
import socket
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load
from torch import Tensor

from stages.common.params import Refusal
from stages.common.torchvision_shim import torchvision

Weights = Literal["tinyimagenet", "imagenet", "none"]

BUNDLED = Path("weights/resnet18_tinyimagenet.safetensors")  # its README says where it comes from
BUNDLED_SHA256 = "39b2cca5a084d76e9b5370866e5c270755110f2985f1e7b8fc94e80134546be6"
IMAGENET = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
TIMEOUT = 15  # seconds without an answer
SEED = 0  # of `none`


def backbone_weights(weights: Weights, root: Path) -> dict[str, Tensor]:
    """The state dict that `backbone.weights` names.

    `tinyimagenet` is bundled (float16, sha256 checked), `imagenet` is torchvision's (hash-checked download), `none` is
    torchvision's random initialisation. Raises Refusal when a file is damaged or cannot be had.
    """
    match weights:
        case "tinyimagenet":
            state = _bundled(root)
        case "imagenet":
            state = _imagenet()
        case "none":
            state = _random()
    return {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}


def _bundled(root: Path) -> dict[str, Tensor]:
    content = (root / BUNDLED).read_bytes()
    if hashlib.sha256(content).hexdigest() != BUNDLED_SHA256:
        raise Refusal(f"{BUNDLED} is damaged (its sha256 is not {BUNDLED_SHA256}): restore it with `git checkout`")
    return load(content)


def _imagenet() -> dict[str, Tensor]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)  # torch.hub sets none: without it a silent host would be waited for for ever
    try:
        return IMAGENET.get_state_dict(check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as fault:
        reason = str(fault).partition("\n")[0]
        raise Refusal(
            f"backbone.weights = imagenet: {IMAGENET.url} cannot be had ({reason}): try again, or take the bundled "
            "weights: -S backbone.weights=tinyimagenet"
        ) from None
    finally:
        socket.setdefaulttimeout(before)


def _random() -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return torchvision.models.resnet18(weights=None).state_dict()
