"""Sums over the first images of a sample, where ties share their places."""

import numpy as np


def sum_of_first(key: np.ndarray, values: np.ndarray, weights: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The sum of `values` over the first p images in ascending order of `key`, for each p of `places`.

    key: (N,). values: (N,) or (R, N), what one copy of an image adds. weights: (N,) or (R, N), how many copies of each
    image the sample holds. places: (P,), ascending; a fraction takes its share of the next image. Returns (P,) or
    (R, P), float64. Images with equal keys share their places equally, so no sum depends on how ties are sorted.

    >>> sum_of_first(np.array([3, 1, 1]), np.array([5.0, 1.0, 0.0]), np.ones(3), np.array([0, 1, 2, 3]))
    array([0. , 0.5, 1. , 6. ])
    """
    order = np.argsort(key, kind="stable")
    end_of_tie = np.flatnonzero(np.diff(key[order], append=np.inf))
    weights, added = np.broadcast_arrays(weights, weights * values)
    counts, sums = (
        np.insert(per_image[..., order].cumsum(axis=-1)[..., end_of_tie], 0, 0, axis=-1).reshape(
            -1, len(end_of_tie) + 1
        )
        for per_image in (weights, added)
    )
    rows = [np.interp(places, count, total) for count, total in zip(counts, sums, strict=True)]
    return np.reshape(rows, (*added.shape[:-1], len(places)))
