"""timm's convolutional networks as rows of stages, by timm's own table.

timm lists in `feature_info` the modules after which a map of another stride is complete. `layer1` to `layer4` end with
those of stride 4, 8, 16 and 32. `stem` ends with that of stride 2, or where there is none before that of stride 4.
"""

from collections.abc import Iterator
from difflib import get_close_matches
from types import ModuleType
from typing import Any

import torch
from torch import nn

from study.networks.stages import STRIDES, Backbone, Stage, row
from study.pipeline.params import Refusal
from study.pipeline.torchvision_shim import torchvision

PREFIX = "timm/"

SEQUENCE = "it does more than run its parts one after another"

LITE0 = "efficientnet_lite0"
LITE0_MEAN, LITE0_STD = (127 / 255,) * 3, (128 / 255,) * 3  # of Google's weights; timm's own of this name differ


def timm_library() -> ModuleType:
    """Raises Refusal, naming the way out, when timm is not installed."""
    _ = torchvision  # which timm imports: the shim must come first
    try:
        import timm
    except ImportError:
        raise Refusal("backbone.name: timm is not installed: pip install -r requirements/timm.txt") from None
    return timm


def create(name: str, pretrained: bool = False) -> Any:
    """The network that `timm/NAME` or `efficientnet_lite0` stands for, without its classifier, in evaluation mode.

    pretrained: with the weights of `published_weights`. Raises Refusal when timm has no such network, naming similar
    ones.
    """
    timm = timm_library()
    plain = _timm_s_name(name)
    if plain not in (known := [*timm.list_models(), *timm.list_pretrained()]):
        near = get_close_matches(plain, known, n=3, cutoff=0)
        raise Refusal(f"params.yaml: backbone.name = {name!r}: timm has no such network; similar: {', '.join(near)}")
    return timm.create_model(plain, pretrained=pretrained, num_classes=0).eval()


def published_weights(name: str) -> Any:
    """Where timm finds the network's weights: its PretrainedCfg. Raises Refusal when it knows none."""
    timm = timm_library()
    plain = _timm_s_name(name)
    if not timm.is_model_pretrained(plain):
        raise Refusal(f"backbone.weights = imagenet: timm has no weights for {name}: choose none, or another name")
    return timm.get_pretrained_cfg(plain)


def _timm_s_name(name: str) -> str:
    return "tf_efficientnet_lite0" if name == LITE0 else name.removeprefix(PREFIX)


def untrained(name: str) -> Backbone:
    """A network of `create`, drawn from torch's global random state, under timm's names for its parts.

    Raises Refusal when timm lists no stages of stride 4, 8, 16 and 32 for it.
    """
    return _in_stages(name, create(name))


def require_stages(name: str, image_size: int) -> None:
    """Raises Refusal when the network does not take images of this size, or is no row of stages."""
    with torch.random.fork_rng(devices=[]):
        net, pixels = create(name), torch.rand(1, 3, image_size, image_size)
    backbone = _in_stages(name, net)
    with torch.inference_mode():
        try:
            expected = net(pixels)
        except (AssertionError, RuntimeError) as fault:
            reason = str(fault).partition("\n")[0]
            raise Refusal(f"params.yaml: {image_size} pixels a side: {name} cannot take it ({reason})") from None
        sides, found = {}, pixels
        try:
            for stage, part in backbone.stages.named_children():
                found = part(found)
                sides[stage] = found.shape[2:]
        except Exception:  # parts that do not fit one another fail in many ways
            raise _refused(name, SEQUENCE) from None
    for stage, stride in STRIDES.items():
        cells = -(-image_size // stride)  # a convolution of stride 2 rounds up
        if sides[stage] != (cells, cells):
            raise _refused(name, f"{stage} yields no {cells}x{cells} map of an image of {image_size} pixels")
    if found.shape != (1, backbone.features) or not torch.allclose(
        found, expected, rtol=0, atol=1e-4 * expected.abs().max().item()
    ):
        raise _refused(name, SEQUENCE)


def _in_stages(name: str, net: Any) -> Backbone:
    listed = {stage["reduction"]: stage["module"] for stage in getattr(net, "feature_info", [])}
    known = dict(net.named_modules())
    if missing := [stride for stride in STRIDES.values() if listed.get(stride) not in known]:
        raise _refused(name, f"it has no stage of stride {missing[0]}")
    last: dict[Stage, str] = {stage: listed[stride] for stage, stride in STRIDES.items()}
    modules = list(_modules(net, [*last.values(), *filter(None, [listed.get(2)])]))
    paths = [path for path, _ in modules]
    stem = listed[2] if listed.get(2) in paths else paths[paths.index(last["layer1"]) - 1]
    stages = row(modules, {"stem": stem, **last})
    for stage, path in {"stem": stem, **last}.items():
        if not any(parameter.ndim > 1 for parameter in stages.get_submodule(stage).parameters()):
            raise _refused(name, f"its {stage}, which ends with {path}, has no weights")
    config = net.pretrained_cfg
    mean, std = (LITE0_MEAN, LITE0_STD) if name == LITE0 else (config["mean"], config["std"])
    return Backbone(name, stages, net.head_hidden_size, mean, std)


def _modules(net: nn.Module, ends: list[str]) -> Iterator[tuple[str, nn.Module]]:
    """The network's children in order, with their paths; a container of any of `ends` is given as its items."""
    for name, child in net.named_children():
        if any(end.startswith(f"{name}.") for end in ends):
            yield from ((f"{name}.{item}", module) for item, module in child.named_children())
        else:
            yield name, child


def _refused(name: str, reason: str) -> Refusal:
    return Refusal(
        f"params.yaml: backbone.name = {name!r} cannot be unfrozen by stages: {reason}; choose a convolutional "
        "network, such as timm/resnet26 or timm/convnext_atto"
    )
