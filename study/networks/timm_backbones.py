"""timm's convolutional networks, cut by timm's own table of stages.

timm lists in `feature_info` the modules after which a map of another stride is complete. `layer2`, `layer3` and
`layer4` are those of stride 8, 16 and 32; the last block is that of stride 32 with all that follows it.
"""

from collections import OrderedDict
from difflib import get_close_matches
from types import ModuleType
from typing import Any

import torch
from torch import nn

from study.networks.trunk_and_tail import STRIDES, Backbone, Layer, map_size
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

    Raises Refusal when timm lists no stages of stride 8, 16 and 32 for it.
    """
    return _cut(name, create(name))


def require_stages(name: str, image_size: int) -> None:
    """Raises Refusal when the network does not take images of this size, or cannot be cut into trunk and tail."""
    with torch.random.fork_rng(devices=[]):
        net, pixels = create(name), torch.rand(1, 3, image_size, image_size)
    backbone = _cut(name, net)
    parts = nn.Sequential(OrderedDict(trunk=backbone.trunk, tail=backbone.tail))
    sides: dict[Layer, torch.Size] = {}
    with torch.inference_mode():
        try:
            expected = net(pixels)
        except (AssertionError, RuntimeError) as fault:
            reason = str(fault).partition("\n")[0]
            raise Refusal(f"params.yaml: {image_size} pixels a side: {name} cannot take it ({reason})") from None
        for layer, path in backbone.maps.items():
            parts.get_submodule(path).register_forward_hook(
                lambda _module, _inputs, output, at=layer: sides.update({at: output.shape[2:]})
            )
        try:
            found = parts(pixels)
        except Exception:  # parts that do not fit one another fail in many ways
            raise _refused(name, SEQUENCE) from None
    for layer, path in backbone.maps.items():
        cells = map_size(layer, image_size)
        if sides.get(layer) != (cells, cells):
            module = path.partition(".")[2]
            raise _refused(name, f"{module} yields no {cells}x{cells} map of an image of {image_size} pixels")
    if found.shape != (1, backbone.features) or not torch.allclose(
        found, expected, rtol=0, atol=1e-4 * expected.abs().max().item()
    ):
        raise _refused(name, SEQUENCE)


def _cut(name: str, net: Any) -> Backbone:
    stages = {stage["reduction"]: stage["module"] for stage in getattr(net, "feature_info", [])}
    modules = dict(net.named_modules())
    if missing := [stride for stride in STRIDES.values() if stages.get(stride) not in modules]:
        raise _refused(name, f"it has no stage of stride {missing[0]}")
    maps: dict[Layer, str] = {layer: stages[stride] for layer, stride in STRIDES.items()}
    last = maps["layer4"]
    if not any(parameter.ndim > 1 for parameter in modules[last].parameters()):
        raise _refused(name, f"its last stage, {last}, has no weights")
    trunk, tail = _parts(net, last)
    paths: dict[Layer, str] = {
        layer: f"{'tail' if layer == 'layer4' else 'trunk'}.{path}" for layer, path in maps.items()
    }
    config = net.pretrained_cfg
    mean, std = (LITE0_MEAN, LITE0_STD) if name == LITE0 else (config["mean"], config["std"])
    return Backbone(trunk, tail, net.head_hidden_size, paths, mean, std)


def _parts(net: nn.Module, last: str) -> tuple[nn.Sequential, nn.Sequential]:
    """The children before the module `last`, and those from it on. It is a child, or an item of one: "blocks.6"."""
    container, _, item = last.partition(".")
    trunk, tail = OrderedDict[str, nn.Module](), OrderedDict[str, nn.Module]()
    for name, child in net.named_children():
        if name == container and item:
            items = list(child.named_children())
            place = [key for key, _ in items].index(item)
            trunk[name] = nn.Sequential(OrderedDict(items[:place]))
            tail[name] = nn.Sequential(OrderedDict(items[place:]))
        elif name == container or tail:
            tail[name] = child
        else:
            trunk[name] = child
    return nn.Sequential(trunk), nn.Sequential(tail)


def _refused(name: str, reason: str) -> Refusal:
    return Refusal(
        f"params.yaml: backbone.name = {name!r} cannot be unfrozen by stages: {reason}; choose a convolutional "
        "network, such as timm/resnet26 or timm/convnext_atto"
    )
