"""A training's clock and learning curve."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Seconds of training since it was made. It stands still while the model is judged, whoever trains it."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._paused = 0.0
        self.curve: list[tuple[float, float]] = []  # seconds of training, accuracy in [0, 1]

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._start - self._paused

    @contextmanager
    def paused(self) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self._paused += time.perf_counter() - start

    def judged(self, accuracy: float) -> None:
        """Add a point to the curve: what the model reaches now, on the images that judge every epoch."""
        self.curve.append((self.seconds, accuracy))
