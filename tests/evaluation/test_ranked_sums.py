import numpy as np
import pytest

from study.evaluation.ranked_sums import sum_of_first


def test_without_ties_it_is_the_running_sum_in_the_order_of_the_key():
    rng = np.random.default_rng(0)
    key, values = rng.permutation(50), rng.normal(size=50)
    expected = [values[key < place].sum() for place in range(51)]
    assert sum_of_first(key, values, np.ones(50), np.arange(51)) == pytest.approx(np.array(expected))


def test_copies_count_as_often_as_they_are_held():
    rng = np.random.default_rng(0)
    key, values, copies = rng.integers(0, 8, 20), rng.normal(size=20), rng.integers(0, 4, 20)
    places = np.arange(copies.sum() + 1)
    repeated = sum_of_first(np.repeat(key, copies), np.repeat(values, copies), np.ones(copies.sum()), places)
    assert sum_of_first(key, values, copies, places) == pytest.approx(repeated)


def test_ties_share_their_places_whatever_their_order():
    key, places = np.array([0.5, 0.5, 0.5, 0.1]), np.array([1, 2, 3, 4])
    for values in ([6.0, 0, 0, 1], [0.0, 6, 0, 1], [0.0, 0, 6, 1]):
        sums = sum_of_first(key, np.array(values), np.ones(4), places)
        assert sums == pytest.approx([1, 1 + 2, 1 + 4, 1 + 6])


def test_a_place_between_two_images_takes_its_share_of_the_second():
    sums = sum_of_first(np.array([1, 2]), np.array([10.0, 20.0]), np.ones(2), np.array([0.5, 1.25]))
    assert sums == pytest.approx([0.5 * 10, 10 + 0.25 * 20])


def test_rows_of_values_or_weights_are_summed_each_on_its_own():
    rng = np.random.default_rng(0)
    key, places = rng.integers(0, 5, 12), np.arange(13)
    values, weights = rng.normal(size=(3, 12)), rng.multinomial(12, np.full(12, 1 / 12), size=3)
    assert sum_of_first(key, values, np.ones(12), places) == pytest.approx(
        np.stack([sum_of_first(key, row, np.ones(12), places) for row in values])
    )
    assert sum_of_first(key, values[0], weights, places) == pytest.approx(
        np.stack([sum_of_first(key, values[0], row, places) for row in weights])
    )
