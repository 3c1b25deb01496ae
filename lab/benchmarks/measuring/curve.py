"""Learning curves over seconds: how long until an accuracy is reached. A curve is [(seconds, accuracy in [0, 1])]."""

from itertools import pairwise

Curve = list[tuple[float, float]]

GUESSING = 0.1  # accuracy of a head that has learned nothing, of 10 classes


def seconds_to(curve: Curve, accuracy: float) -> float | None:
    """When the curve first reaches `accuracy`, between two points linearly. None when it never does.

    >>> seconds_to([(0.0, 0.1), (10.0, 0.5), (20.0, 0.4), (30.0, 0.8)], 0.6)
    25.0
    """
    for (before, lower), (after, upper) in pairwise(curve):
        if lower < accuracy <= upper:
            return before + (after - before) * (accuracy - lower) / (upper - lower)
    return curve[0][0] if accuracy <= curve[0][1] else None


def started(curve: Curve, seconds: float, accuracy: float) -> Curve:
    """The curve moved on by the `seconds` that came before it, from the accuracy that an untrained head has.

    >>> started([(2.0, 0.5)], 10.0, 0.1)
    [(10.0, 0.1), (12.0, 0.5)]
    """
    return [(seconds, accuracy), *((seconds + at, reached) for at, reached in curve)]


def to_text(curve: Curve) -> str:
    """In one cell of a CSV.

    >>> to_text([(1.25, 0.5), (2.5, 0.75)])
    '1.250:0.5000 2.500:0.7500'
    """
    return " ".join(f"{seconds:.3f}:{accuracy:.4f}" for seconds, accuracy in curve)


def from_text(text: str) -> Curve:
    """
    >>> from_text("1.250:0.5000 2.500:0.7500")
    [(1.25, 0.5), (2.5, 0.75)]
    """
    return [(float(seconds), float(accuracy)) for seconds, accuracy in (point.split(":") for point in text.split())]
