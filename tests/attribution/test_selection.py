import numpy as np
import pytest

from study.attribution.selection import BROWSED_HITS, BROWSED_MISSES, browse, choose


def outcomes(*runs):
    """labels, predicted and confidence of runs of (label, predicted, confidences)."""
    rows = [(label, guess, confidence) for label, guess, confidences in runs for confidence in confidences]
    labels, predicted, confidence = zip(*rows, strict=True)
    return np.array(labels), np.array(predicted), np.array(confidence)


def test_each_kind_is_a_third():
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 10, (2, 1000))
    labels[:500] = predicted[:500]
    chosen = choose(labels, predicted, rng.random(1000), 24)
    assert {kind: len(rows) for kind, rows in chosen.items()} == {
        "hits": 8,
        "confident_misses": 8,
        "confused_pairs": 8,
    }
    rows = np.concatenate(list(chosen.values()))
    assert len(set(rows)) == 24
    assert (labels[chosen["hits"]] == predicted[chosen["hits"]]).all()
    for kind in ("confident_misses", "confused_pairs"):
        assert (labels[chosen[kind]] != predicted[chosen[kind]]).all()


def test_hits_are_the_typical_ones_of_the_classes_in_turn():
    chosen = choose(*outcomes((0, 0, [0.1, 0.5, 0.9]), (1, 1, [0.9, 0.8, 0.2]), (2, 2, [0.7])), 3)
    assert chosen["hits"].tolist() == [1, 4, 6]  # the medians 0.5, 0.8 and 0.7
    chosen = choose(*outcomes((0, 0, [0.1, 0.5, 0.8]), (1, 1, [0.9, 0.8, 0.2]), (2, 2, [0.7])), 4)
    assert chosen["hits"].tolist() == [1, 2, 4, 6]  # 0.8 is nearer to 0.5 than 0.1 is


def test_confident_misses_come_the_most_confident_first():
    labels, predicted, confidence = outcomes((0, 0, [0.5] * 9), (0, 1, [0.3, 0.9, 0.4]), (1, 0, [0.8, 0.2, 0.7]))
    assert choose(labels, predicted, confidence, 9)["confident_misses"].tolist() == [10, 12, 14]


def test_confused_pairs_are_two_typical_misses_of_the_most_frequent_pairs():
    labels, predicted, confidence = outcomes(
        (0, 0, [0.5] * 20),
        (1, 2, [0.9, 0.9, 0.9, 0.9]),  # rows 20-23, shown as confident misses, yet of the most frequent pair
        (2, 1, [0.1, 0.2, 0.4]),  # rows 24-26
        (0, 1, [0.7, 0.25, 0.5, 0.125]),  # rows 27-30, the second most frequent pair: median 0.375
        (1, 2, [0.3]),  # row 31
    )
    chosen = choose(labels, predicted, confidence, 12)
    assert chosen["confident_misses"].tolist() == [20, 21, 22, 23]
    assert chosen["confused_pairs"].tolist() == [31, 29, 28, 25]


def test_pairs_take_more_than_two_misses_each_when_there_are_few_pairs():
    labels, predicted, confidence = outcomes((0, 0, [0.5] * 20), (0, 1, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]))
    chosen = choose(labels, predicted, confidence, 9)
    assert chosen["confident_misses"].tolist() == [20, 21, 22]
    assert sorted(chosen["confused_pairs"]) == [23, 24, 25]


@pytest.mark.parametrize(
    ("hits", "misses", "expected"),
    [
        (100, 100, (8, 8, 8)),
        (100, 5, (19, 3, 2)),  # misses run out: hits take their place
        (100, 1, (23, 1, 0)),
        (100, 0, (24, 0, 0)),
        (3, 100, (3, 11, 10)),  # hits run out
        (0, 100, (0, 12, 12)),
        (6, 4, (6, 2, 2)),  # everything there is
    ],
)
def test_what_runs_out_is_made_up_for(hits, misses, expected):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, hits + misses)
    predicted = np.concatenate([labels[:hits], (labels[hits:] + 1) % 10])
    chosen = choose(labels, predicted, rng.random(hits + misses), 24)
    assert tuple(len(chosen[kind]) for kind in ("hits", "confident_misses", "confused_pairs")) == expected
    assert len(set(np.concatenate(list(chosen.values())))) == sum(expected)


def test_browsing_spreads_over_the_confusion_cells_and_the_classes_of_hits():
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 4, (2, 8000))
    predicted[labels == 0] = 1  # one cell of some 2,000 misses, beside nine of some 500
    rows = browse(labels, predicted, rng.random(8000))
    assert len(rows) == BROWSED_MISSES + BROWSED_HITS
    assert (np.diff(rows) > 0).all()
    cells, counts = np.unique(np.stack([labels, predicted])[:, rows], axis=1, return_counts=True)
    hit = cells[0] == cells[1]
    assert counts[hit].tolist() == 3 * [BROWSED_HITS // 3]  # class 0 is never right
    assert counts[~hit].tolist() == 10 * [BROWSED_MISSES // 10]


def test_browsing_shows_every_miss_when_there_are_few_and_typical_hits():
    labels, predicted, confidence = outcomes((0, 0, np.linspace(0, 1, 401)), (1, 1, [0.5]), (1, 0, [0.9]))
    rows = browse(labels, predicted, confidence)
    assert rows.tolist() == [
        *range(51, 350),
        401,
        402,
    ]  # the 299 nearest to the median, row 200, the other hit, the miss


@pytest.mark.parametrize("guess", [0, 1])
def test_browsing_works_without_misses_and_without_hits(guess):
    assert browse(*outcomes((0, guess, [0.5, 0.25, 0.75]))).tolist() == [0, 1, 2]
