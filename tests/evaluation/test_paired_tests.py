from math import comb

import numpy as np
import pytest

from study.evaluation.paired_tests import holm, mcnemar


def outcomes(both, only_first, only_second, neither):
    """Whether each of two classifiers is right, on so many images of each kind."""
    first = np.repeat([True, True, False, False], [both, only_first, only_second, neither])
    second = np.repeat([True, False, True, False], [both, only_first, only_second, neither])
    return first, second


def test_mcnemar_is_the_binomial_chance_of_a_split_as_uneven():
    """At most 2 of 12 heads, or at most 2 tails."""
    result = mcnemar(*outcomes(both=50, only_first=2, only_second=10, neither=7))
    assert (result["only_first"], result["only_second"]) == (2, 10)
    assert result["p_value"] == pytest.approx(2 * sum(comb(12, heads) for heads in range(3)) / 2**12)


def test_mcnemar_counts_only_the_images_on_which_the_two_differ():
    few = mcnemar(*outcomes(both=0, only_first=3, only_second=9, neither=0))
    assert mcnemar(*outcomes(both=9000, only_first=3, only_second=9, neither=900)) == few


def test_mcnemar_does_not_mind_which_is_first():
    first, second = outcomes(both=5, only_first=4, only_second=11, neither=5)
    assert mcnemar(first, second)["p_value"] == mcnemar(second, first)["p_value"]


@pytest.mark.parametrize("split", [0, 1, 40])
def test_an_even_split_is_no_evidence_at_all(split):
    assert mcnemar(*outcomes(both=5, only_first=split, only_second=split, neither=5))["p_value"] == pytest.approx(1)


def test_mcnemar_rejects_equal_classifiers_no_more_often_than_its_level():
    rng = np.random.default_rng(0)
    p_values = [mcnemar(*(rng.random((2, 300)) < 0.8))["p_value"] for _ in range(400)]
    assert 0.01 < np.mean(np.array(p_values) <= 0.05) <= 0.05


def test_holm_multiplies_each_p_value_by_the_tests_still_standing():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([3 * 0.01, 2 * 0.03, 2 * 0.03, 4 * 0.005])


def test_holm_never_exceeds_one_and_keeps_a_single_p_value():
    assert holm([0.6, 0.9]) == [1, 1]
    assert holm([0.03]) == [0.03]


def test_holm_does_not_mind_the_order():
    p_values = [0.2, 0.001, 0.03, 0.03]
    assert holm(p_values[::-1]) == holm(p_values)[::-1]
