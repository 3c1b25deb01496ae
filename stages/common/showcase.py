"""Which test images to look at: typical hits, confident misses, confused pairs of classes, and what a page browses."""

import numpy as np

BROWSED_MISSES, BROWSED_HITS = 600, 300  # at most: what a page of a few megabytes can hold


def choose(labels: np.ndarray, predicted: np.ndarray, confidence: np.ndarray, images: int) -> dict[str, np.ndarray]:
    """Rows of `images` different images, a third of each kind: "hits", "confident_misses", "confused_pairs".

    labels, predicted: int64 (N,); confidence: float (N,), the predicted class's probability.
    Confident misses come the most confident first. The others are typical rather than flattering: nearest to the
    median confidence of their class, the classes in turn (hits), or of their pair (true, predicted), two images of
    each from the most frequent pair on. Where misses run out hits take their place, and the other way round: there
    are fewer images in all only when N is smaller.
    """
    hits = np.flatnonzero(labels == predicted)
    misses = np.flatnonzero(labels != predicted)
    misses = misses[np.argsort(-confidence[misses], kind="stable")]
    shown = min(len(misses), max(2 * (images // 3), images - len(hits)))
    confident, others = np.split(misses, [shown - shown // 2])
    by_class = [hits[labels[hits] == label] for label in np.unique(labels[hits])]
    pairs, frequency = np.unique(np.stack([labels, predicted])[:, misses], axis=1, return_counts=True)
    by_pair = [
        others[(labels[others] == true) & (predicted[others] == guess)]
        for true, guess in pairs.T[np.argsort(-frequency, kind="stable")]
    ]
    return {
        "hits": _in_turn([_typical(group, confidence) for group in by_class], 1, images - shown),
        "confident_misses": confident,
        "confused_pairs": _in_turn([_typical(group, confidence) for group in by_pair if len(group)], 2, shown // 2),
    }


def browse(labels: np.ndarray, predicted: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Rows, ascending, of what an interactive page lets its reader look through: misses and hits, typical ones first.

    Up to BROWSED_MISSES misses, the pairs (true, predicted) in turn, and up to BROWSED_HITS hits, the classes in turn.
    """
    pairs = labels * (1 + max(labels.max(), predicted.max())) + predicted
    cells = [np.flatnonzero(pairs == pair) for pair in np.unique(pairs)]
    cells = [(_typical(rows, confidence), labels[rows[0]] == predicted[rows[0]]) for rows in cells]
    misses = _in_turn([rows for rows, hit in cells if not hit], 1, BROWSED_MISSES)
    hits = _in_turn([rows for rows, hit in cells if hit], 1, BROWSED_HITS)
    return np.sort(np.concatenate([misses, hits]))


def _typical(rows: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """The rows by how near their confidence is to its median, the nearest first."""
    return rows[np.argsort(np.abs(confidence[rows] - np.median(confidence[rows])), kind="stable")]


def _in_turn(groups: list[np.ndarray], each: int, count: int) -> np.ndarray:
    """`count` rows, `each` from every group in turn, put back into the order of the groups."""
    places = [(rank // each, order, rank) for order, group in enumerate(groups) for rank in range(len(group))]
    chosen = sorted((order, rank) for _, order, rank in sorted(places)[:count])
    return np.array([groups[order][rank] for order, rank in chosen], dtype=np.int64)
