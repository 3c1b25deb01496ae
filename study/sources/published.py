"""What a published dataset is to the study. Each has a module beside this one, and a name in study.sources.datasets."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from study.data.splits import Facts, Raw


class Published(NamedTuple):
    """A dataset of known size. Its images are uint8 (N, H, H, 3)."""

    load: Callable[[Path], Raw]  # given the project's root; raises Refusal when it cannot be had
    facts: Facts
    side: int  # H, in pixels
    train: int  # images to train and to validate on
    test: int
