"""The variants under study: the blocks of params.yaml's `train`, in its order."""

from collections.abc import Mapping
from typing import Any

from study.pipeline.params import Refusal, parse

COMMON = "common"  # the block of `train` that is no variant


def variants(params: Mapping[str, Any]) -> tuple[str, ...]:
    """Their names, such as `layer4`."""
    return tuple(name for name in parse(params, "train", dict[str, Any]) if name != COMMON)


def fine_tuned(params: Mapping[str, Any]) -> tuple[str, ...]:
    """Those that start from the backbone."""
    blocks = parse(params, "train", dict[str, Any])
    return tuple(name for name in variants(params) if "unfreeze_from" in blocks[name])


def require_published(params: Mapping[str, Any]) -> None:
    """Raises Refusal when `freeze` names no variant."""
    name, known = parse(params, "freeze", str), variants(params)
    if name not in known:
        raise Refusal(f"params.yaml: freeze = {name!r}: choose one of {', '.join(known)}")
