"""`torchvision`, importable beside a CPU-only torch.

PyPI's Linux wheel of torchvision is built for CUDA. Beside a CPU build of torch its compiled operators do not load, and
the import fails with "operator torchvision::nms does not exist" while it registers their shape rules. Declaring the two
missing schemas first makes models and datasets work; nothing here calls the operators.
"""

import importlib.util
from pathlib import Path
from typing import Any

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_library = torch.library.Library("torchvision", "FRAGMENT")  # the schemas live as long as this object


def _operators_load() -> bool:
    spec: Any = importlib.util.find_spec("torchvision")
    try:
        for extension in Path(spec.origin).parent.glob("_C.*"):
            torch.ops.load_library(extension)
    except OSError:
        return False
    return True


if not _operators_load():
    for operator in ("nms", "qnms"):
        _library.define(operator + _SCHEMA)

import torchvision  # noqa: E402
import torchvision.transforms.v2  # noqa: E402  a submodule, which the line above leaves out

__all__ = ["torchvision"]
