"""How much is measured."""

from typing import NamedTuple

SIZE = 96  # pixels a side, as the study


class Plan(NamedTuple):
    """What the command line asks for; every program takes what concerns it."""

    quick: bool = False  # seconds of smoke on scikit-learn's digits, whose figures say nothing
    runs: int = 1  # of each measurement, in turn
    sizes: tuple[int, ...] = (SIZE,)  # pixels a side, of `training` and `utilisation`
