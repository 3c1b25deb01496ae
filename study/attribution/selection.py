"""Choose test images to show: typical hits, confident misses, confused pairs, and those that report.html browses."""

import numpy as np

BROWSED_MISSES, BROWSED_HITS = 600, 300  # the most that fit a page of a few megabytes


def choose(labels: np.ndarray, predicted: np.ndarray, confidence: np.ndarray, images: int) -> dict[str, np.ndarray]:
    """Rows of `images` different images, a third of each kind: "hits", "confident_misses", "confused_pairs".

    labels, predicted: int64 (N,); confidence: float (N,), the predicted class's probability.
    Confident misses come with the most confident first. The others are typical, not flattering: nearest to the median
    confidence of their class, taking classes in turn (hits), or of their pair (true, predicted), two images per pair
    from the most frequent on. If misses run out, hits replace them, and vice versa: there are fewer images only if N is
    smaller.
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
    """Rows, ascending, for an interactive page to browse: typical misses and hits.

    Up to BROWSED_MISSES misses, taking pairs (true, predicted) in turn, and up to BROWSED_HITS hits, taking classes in
    turn.
    """
    pairs = labels * (1 + max(labels.max(), predicted.max())) + predicted
    cells = [np.flatnonzero(pairs == pair) for pair in np.unique(pairs)]
    typical = [(_typical(rows, confidence), labels[rows[0]] == predicted[rows[0]]) for rows in cells]
    misses = _in_turn([rows for rows, hit in typical if not hit], 1, BROWSED_MISSES)
    hits = _in_turn([rows for rows, hit in typical if hit], 1, BROWSED_HITS)
    return np.sort(np.concatenate([misses, hits]))


def _typical(rows: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """The rows, sorted by how near their confidence is to its median, nearest first."""
    return rows[np.argsort(np.abs(confidence[rows] - np.median(confidence[rows])), kind="stable")]


def _in_turn(groups: list[np.ndarray], each: int, count: int) -> np.ndarray:
    """`count` rows, taking `each` from every group in turn, returned in the order of the groups."""
    places = [(rank // each, order, rank) for order, group in enumerate(groups) for rank in range(len(group))]
    chosen = sorted((order, rank) for _, order, rank in sorted(places)[:count])
    return np.array([groups[order][rank] for order, rank in chosen], dtype=np.int64)
