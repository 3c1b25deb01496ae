"""How much is measured."""

from typing import NamedTuple

SIZES = (64, 128)  # pixels a side that the study's table has


class Plan(NamedTuple):
    """What the command line asks for; every program takes what concerns it."""

    quick: bool = False  # seconds of smoke on scikit-learn's digits, whose figures say nothing
    runs: int = 1  # of each measurement, in turn
    sizes: tuple[int, ...] = SIZES[:1]  # pixels a side, of `training` and `utilisation`
