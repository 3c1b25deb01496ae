"""The backbones by name: networks without their classifiers, as rows of stages."""

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from study.networks import timm_backbones, torchvision_backbones
from study.networks.stages import Backbone
from study.networks.timm_backbones import LITE0, PREFIX
from study.networks.torchvision_backbones import MOBILENETS, RESNETS

NAMES = (*RESNETS, *MOBILENETS, LITE0)


def _known(name: str) -> str:
    if name not in NAMES and not re.fullmatch(rf"{PREFIX}\S+", name):
        raise PydanticCustomError("backbone", "choose {names} or timm/NAME", {"names": ", ".join(NAMES)})
    return name


BackboneName = Annotated[str, AfterValidator(_known)]  # one of NAMES, or timm/NAME


def from_timm(name: str) -> bool:
    return name == LITE0 or name.startswith(PREFIX)


def untrained(name: str) -> Backbone:
    """The network called `name`, a BackboneName, drawn from torch's global random state.

    Raises Refusal when it is timm's and timm is missing, does not know it, or lists no stages for it.
    """
    return timm_backbones.untrained(name) if from_timm(name) else torchvision_backbones.untrained(name)


def require_usable(name: str, image_sizes: Iterable[int]) -> None:
    """Raises Refusal when `name` does not exist, is no row of stages or cannot take images of these sizes in pixels."""
    if from_timm(name):
        for image_size in image_sizes:
            timm_backbones.require_stages(name, image_size)
