"""The variants under study: three depths of fine-tuning, the shallowest first, and a light network from nothing."""

from typing import Literal, get_args

Variant = Literal["fc", "layer4", "full", "scratch"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
FINE_TUNED: tuple[Variant, ...] = ("fc", "layer4", "full")  # what starts from the backbone
