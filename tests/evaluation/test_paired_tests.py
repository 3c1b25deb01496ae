from math import comb

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from study.evaluation.paired_tests import holm, mcnemar, paired_difference

Z = 1.959964  # the 97.5 % quantile of the normal distribution


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


def difference(only_first, only_second, images, level=0.95):
    return paired_difference(*outcomes(0, only_first, only_second, images - only_first - only_second), level)


def tables(most):
    """(only_first, only_second, images) of every kind, up to so many images."""
    for images in range(1, most + 1):
        for only_first in range(images + 1):
            yield from ((only_first, only_second, images) for only_second in range(images - only_first + 1))


@pytest.mark.parametrize(
    ("only_first", "only_second", "images", "expected"),
    [  # patients before and after treatment: Fagerland, Lydersen and Laake 2017, and their R package contingencytables
        (7, 1, 21, (-0.286, -0.517, -0.026)),
        (16, 6, 161, (-0.0621, -0.1240, -0.0054)),
    ],
)
def test_the_score_interval_is_the_published_one(only_first, only_second, images, expected):
    found = difference(only_first, only_second, images)
    decimals = len(str(expected[0]).split(".")[1])
    assert tuple(round(found[name], decimals) for name in ("difference", "low", "high")) == expected


@pytest.mark.parametrize(("only_first", "only_second", "images"), [(0, 1, 80), (3, 12, 40), (9, 2, 30), (5, 5, 200)])
def test_at_both_ends_the_score_is_the_normal_quantile(only_first, only_second, images):
    """The score at a difference d, its variance from the likeliest shares with that difference, searched for."""

    def score(d):
        def unlikely(q):  # q: the share of images that only the first gets right
            shares = np.array([q, q + d, 1 - 2 * q - d])
            return -np.dot([only_first, only_second, images - only_first - only_second], np.log(shares))

        low, high = max(0, -d), (1 - d) / 2
        q = minimize_scalar(unlikely, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
        return (only_second - only_first - images * d) / np.sqrt(images * (q + q + d - d**2))

    found = difference(only_first, only_second, images)
    assert (score(found["low"]), score(found["high"])) == pytest.approx((Z, -Z), abs=1e-4)


@pytest.mark.parametrize("images", [1, 80, 10_000])
def test_without_a_disagreement_the_interval_reaches_as_far_as_that_of_a_share_of_zero(images):
    """Which is z^2 / (N + z^2), Wilson's."""
    reach = Z**2 / (images + Z**2)
    assert difference(0, 0, images) == pytest.approx({"difference": 0, "low": -reach, "high": reach})


def test_the_interval_has_a_width_around_the_difference_and_lies_between_minus_one_and_one():
    for of in tables(14):
        found = difference(*of)
        assert -1 <= found["low"] <= found["difference"] <= found["high"] <= 1, of
        assert found["low"] < found["high"], of


def test_the_interval_holds_zero_wherever_the_exact_test_has_no_evidence_at_all():
    certain = 0
    for only_first, only_second, images in tables(14):
        found = difference(only_first, only_second, images)
        outcome = outcomes(0, only_first, only_second, images - only_first - only_second)
        if mcnemar(*outcome)["p_value"] == pytest.approx(1):
            assert found["low"] < 0 < found["high"], (only_first, only_second, images)
            certain += 1
    assert certain > 14  # also where the two disagree


@pytest.mark.parametrize("images", [4, 1000])
def test_four_against_none_is_above_zero_though_the_exact_test_is_not_sure(images):
    assert difference(0, 4, images)["low"] > 0  # 4 / sqrt(4) is more than Z
    assert mcnemar(*outcomes(0, 0, 4, images - 4))["p_value"] == 2 / 2**4
    assert difference(0, 3, images)["low"] < 0  # 3 / sqrt(3) is less


def test_the_other_way_round_the_interval_is_mirrored():
    for only_first, only_second, images in tables(14):
        found, mirrored = difference(only_first, only_second, images), difference(only_second, only_first, images)
        assert (found["difference"], found["low"], found["high"]) == tuple(
            -mirrored[name] for name in ("difference", "high", "low")
        )


def test_a_higher_level_gives_a_wider_interval():
    narrow, wide = difference(3, 8, 50, level=0.9), difference(3, 8, 50, level=0.99)
    assert wide["low"] < narrow["low"] < narrow["high"] < wide["high"]


@pytest.mark.parametrize(
    ("images", "only_first", "only_second"),
    [
        (20, 0.1, 0.1),
        (30, 0.1, 0.2),
        (80, 0.02, 0.05),
        (80, 0, 0.05),
        (80, 0.1, 0.3),
        (200, 0.02, 0.03),
        (800, 0.03, 0.03),
    ],
)
def test_the_interval_covers_the_true_difference_about_as_often_as_its_level_says(images, only_first, only_second):
    """Of 4,000 test sets; only_first, only_second: how likely an image is to be right for one alone."""
    shares = [only_first, only_second, 1 - only_first - only_second]
    drawn, times = np.unique(np.random.default_rng(0).multinomial(images, shares, 4000), axis=0, return_counts=True)
    found = [difference(first, second, images) for first, second, _ in drawn]
    covered = [of["low"] <= only_second - only_first <= of["high"] for of in found]
    assert 0.935 < np.average(covered, weights=times) < 0.975


def test_holm_multiplies_each_p_value_by_the_tests_still_standing():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([3 * 0.01, 2 * 0.03, 2 * 0.03, 4 * 0.005])


def test_holm_never_exceeds_one_and_keeps_a_single_p_value():
    assert holm([0.6, 0.9]) == [1, 1]
    assert holm([0.03]) == [0.03]


def test_holm_does_not_mind_the_order():
    p_values = [0.2, 0.001, 0.03, 0.03]
    assert holm(p_values[::-1]) == holm(p_values)[::-1]
