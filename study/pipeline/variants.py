"""The variants under study: three depths of fine-tuning, shallowest first, and a light network from scratch."""

from typing import Literal, get_args

Variant = Literal["fc", "layer4", "full", "scratch"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
FINE_TUNED: tuple[Variant, ...] = ("fc", "layer4", "full")  # those that start from the backbone
