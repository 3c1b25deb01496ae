"""The schedule: in each cycle the learning rate rises to a peak and falls to zero, while the resolution may grow."""

import re
from typing import NamedTuple

from study.pipeline.params import Refusal

WARMUP = 0.05  # share of a cycle in which the learning rate rises

CYCLE = re.compile(r"(?P<phases>\d+x\d+(\+\d+x\d+)*)@(?P<peak>\d+(\.\d+)?)")
FORMAT = 'EPOCHSxPIXELS@PEAK_LR, such as "10x64@0.2", or with several resolutions in it "8x48+10x64@0.2"'


class Epoch(NamedTuple):
    image_size: int  # pixels
    peak: float  # highest learning rate of its cycle
    position: int  # epochs of the cycle before it
    length: int  # epochs of the cycle

    def lr(self, progress: float) -> float:
        """The learning rate after this share of the epoch: a straight rise to the peak, a straight fall to zero."""
        done = (self.position + progress) / self.length
        return self.peak * min(done / WARMUP, (1 - done) / (1 - WARMUP))


def plan(cycles: str) -> list[Epoch]:
    """Every epoch of the cycles, in order. Raises Refusal on what is not a list of cycles."""
    return [epoch for cycle in cycles.split() or [""] for epoch in _epochs(cycle)]


def _epochs(cycle: str) -> list[Epoch]:
    match = CYCLE.fullmatch(cycle)
    if not match:
        raise Refusal(f"--cycles: {cycle!r} is not a cycle; write {FORMAT}")
    phases = [tuple(map(int, phase.split("x"))) for phase in match["phases"].split("+")]
    peak = float(match["peak"])
    if peak == 0 or any(epochs < 1 or size < 32 for epochs, size in phases):
        raise Refusal(f"--cycles: {cycle!r} needs at least 1 epoch, 32 pixels and a rate above 0")
    sizes = [size for epochs, size in phases for _ in range(epochs)]
    return [Epoch(size, peak, position, len(sizes)) for position, size in enumerate(sizes)]
