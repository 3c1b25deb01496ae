"""How much is measured."""

from typing import NamedTuple


class Plan(NamedTuple):
    """What the command line asks for; every program takes what concerns it."""

    sizes: tuple[int, ...]  # pixels a side, of `training` and `utilisation`
    quick: bool = False  # seconds of smoke on scikit-learn's digits, whose figures say nothing
    runs: int = 1  # of each measurement, in turn
