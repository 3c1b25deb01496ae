"""How the card and the page write figures, settings and names; and their templates."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

BACKBONES = {
    "resnet18": "ResNet-18",
    "resnet34": "ResNet-34",
    "resnet50": "ResNet-50",
    "wide_resnet50_2": "Wide ResNet-50-2",
    "mobilenet_v2": "MobileNetV2",
    "mobilenet_v3_small": "MobileNetV3-Small",
    "efficientnet_lite0": "EfficientNet-Lite0",
}
BUNDLED = "resnet18"  # whose ImageNet weights are bundled: weights/README.md
ENOUGH = 50  # images, from which a check that fails has failed
TEMPLATES = Path(__file__).parent / "templates"


def percent(share: float | str, decimals: int = 2) -> str:
    """
    >>> percent(0.94321)
    '94.32 %'
    """
    return f"{100 * float(share):.{decimals}f} %"


def level(asked: float | str) -> str:
    """A coverage, an error rate or a confidence that was asked for, with the decimals that it has.

    >>> level(0.95), level(0.995)
    ('95 %', '99.5 %')
    """
    return f"{round(100 * float(asked), 6):g} %"


def fixed(value: float | str) -> str:
    """
    >>> fixed(0.0061499)
    '0.0061'
    """
    return f"{float(value):.4f}"


def signed(difference: float | str) -> str:
    """
    >>> signed(0.0061499), signed(-0.00001)
    ('+0.0061', '+0.0000')
    """
    return f"{float(difference):+z.4f}"


def points(difference: float | str) -> str:
    """A difference of shares in percentage points.

    >>> points(-0.0123)
    '-1.23'
    """
    return f"{100 * float(difference):+z.2f}"


def low_to_high(interval: Mapping[str, Any], show: Callable[[Any], str] = signed) -> str:
    """
    >>> low_to_high({"low": -0.01, "high": 0.02})
    '-0.0100 to +0.0200'
    """
    return f"{show(interval['low'])} to {show(interval['high'])}"


def seconds(value: float | str) -> str:
    """
    >>> seconds(1234.5)
    '1,234 s'
    """
    return f"{float(value):,.0f} s"


def setting(value: Any) -> str:
    """A parameter, or a figure of any kind, in as few characters as it takes.

    >>> setting(45000), setting(0.0005), setting(1.5e-06), setting(True), setting([512, 64])
    ('45,000', '0.0005', '1.5e-06', 'yes', '512, 64')
    >>> setting(None)
    'none'
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(setting, value)) or "none"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def leaves(block: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings under dotted names.

    >>> leaves({"seed": 0, "probe": {"lr": 0.1}})
    {'seed': 0, 'probe.lr': 0.1}
    """
    flat: dict[str, Any] = {}
    for key, value in block.items():
        flat |= leaves(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat


def switched_on(augment: Mapping[str, bool | float], mirrors: bool = True) -> str:
    """The augmentations that are in use. mirrors: whether a mirror image could be the dataset's; else none is made.

    >>> switched_on({"crop": True, "flip": True, "randaugment": False, "mixup": 0.2}, mirrors=False)
    'crop, mixup'
    """
    used = [name for name, value in augment.items() if value and (mirrors or name != "flip")]
    return ", ".join(used) or "none"


def plain(name: str) -> str:
    """A name that a user chose, as Markdown that shows it and does nothing else.

    >>> print(plain("a|b <i> *c*"))
    a\\|b &lt;i> \\*c\\*
    """
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", name.replace("&", "&amp;").replace("<", "&lt;"))


def enumerated(names: Sequence[str]) -> str:
    """
    >>> enumerated(["fc"]), enumerated(["fc", "layer4", "full"])
    ('fc', 'fc, layer4 and full')
    """
    *rest, last = names
    return f"{', '.join(rest)} and {last}" if rest else last


def ticked(names: Sequence[str]) -> str:
    """Names of variants in Markdown.

    >>> ticked(["fc", "full"])
    '`fc` and `full`'
    """
    return enumerated([f"`{name}`" for name in names])


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows for a template or for JSON, None in the place of a missing value.

    >>> records(pd.DataFrame({"images": [2, 3], "share": [0.5, None]}))
    [{'images': 2, 'share': 0.5}, {'images': 3, 'share': None}]
    """
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(column): value for column, value in row.items()} for row in rows]


def backbone_title(name: str) -> str:
    """
    >>> backbone_title("resnet18"), backbone_title("timm/resnet26")
    ('ResNet-18', 'resnet26')
    """
    return BACKBONES.get(name) or name.removeprefix("timm/")


def article(noun: str) -> str:
    """
    >>> article("ResNet-18"), article("EfficientNet-Lite0")
    ('a', 'an')
    """
    return "an" if noun[0].lower() in "aeio" else "a"


def bundled_imagenet(backbone: Mapping[str, Any]) -> bool:
    """Whether its weights are the bundled ones of ImageNet. backbone: that block of params.yaml."""
    return (backbone["name"], backbone["weights"]) == (BUNDLED, "imagenet")


def origin(backbone: Mapping[str, Any]) -> str:
    """Where the weights come from, to follow the network's name. backbone: that block of params.yaml.

    >>> origin({"name": "resnet50", "weights": "imagenet"}), origin({"name": "resnet50", "weights": "file"})
    ('trained on ImageNet and published by torchvision', "with the user's own weights")
    """
    match backbone["weights"]:
        case "none":
            return "with random weights"
        case "file":
            return "with the user's own weights"
        case "tinyimagenet":
            return "trained from scratch on Tiny ImageNet by this project and bundled with it"
        case "imagenet" if bundled_imagenet(backbone):
            return "trained on ImageNet by Microsoft and bundled with this project"
        case "imagenet" if backbone["name"] == "efficientnet_lite0":
            return "trained on ImageNet and published by Google"
        case "imagenet" if backbone["name"].startswith("timm/"):
            return "with the weights that timm has for it"
    return "trained on ImageNet and published by torchvision"


def terms(backbone: Mapping[str, Any]) -> str | None:
    """What to read before any commercial use, None where nothing was learned before. backbone: as in `origin`.

    >>> terms({"name": "resnet18", "weights": "torchvision"})
    "The backbone learned from ImageNet: read ImageNet's terms before any commercial use."
    """
    if backbone["weights"] == "none":
        return None
    if backbone["weights"] == "file" or (backbone["weights"] == "imagenet" and backbone["name"].startswith("timm/")):
        whose = "the user's own" if backbone["weights"] == "file" else "those that timm has"
        return (
            f"The backbone's weights are {whose}: read their terms, and those of the images that they were learned "
            "from, before any commercial use."
        )
    images = "Tiny ImageNet, a part of ImageNet" if backbone["weights"] == "tinyimagenet" else "ImageNet"
    return f"The backbone learned from {images}: read ImageNet's terms before any commercial use."


def verdict(passed: bool, images: int) -> str:
    """What a check says that was made on so many images. Few of them may miss what holds: then it says nothing.

    >>> verdict(True, 10), verdict(False, 100), verdict(False, 10)
    ('passed', 'failed', 'too few images to tell')
    """
    if passed:
        return "passed"
    return "failed" if images >= ENOUGH else "too few images to tell"


def templates(autoescape: bool = False) -> Environment:
    """The environment of the templates. A figure that a template quotes and nobody gives is an error."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    for filter_ in (
        percent,
        level,
        fixed,
        signed,
        points,
        low_to_high,
        seconds,
        setting,
        leaves,
        plain,
        switched_on,
        enumerated,
        ticked,
        backbone_title,
        article,
        verdict,
    ):
        environment.filters[filter_.__name__] = filter_
    return environment
