"""The variants under study: how deep the fine-tuning goes, the shallowest first."""

from typing import Literal, get_args

Variant = Literal["fc", "layer4", "full"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
