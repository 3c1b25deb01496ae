import pytest

from study.pipeline.files import read_table
from study.reporting.published import PUBLISHED, published_accuracies

NAMES = {name: {"group": "benchmark"} for name in read_table(PUBLISHED)["corruption"]}


def test_the_means_over_all_fifteen_are_those_that_the_sources_state():
    """RobustBench's board says 73.46 % of its Standard, the last line of Kireev et al.'s table .74649."""
    models = published_accuracies("cifar10", NAMES)
    assert len(NAMES) == 15
    assert {name: round(model["mean"], 4) for name, model in models.items()} == {
        "WRN-28-10": 0.7346,
        "PreActResNet-18": 0.7465,
    }


def test_a_corruption_is_told_as_the_mean_over_its_severities():
    model = published_accuracies("cifar10", NAMES)["PreActResNet-18"]
    assert model["by_corruption"]["fog"] == pytest.approx((0.9453 + 0.9341 + 0.9157 + 0.8844 + 0.7464) / 5)


def test_only_what_was_measured_as_the_benchmark_s_is_told_and_counted():
    measured = {"fog": {"group": "benchmark"}, "frost": {"group": "own"}, "saturate": {"group": "extra"}}
    model = published_accuracies("cifar10", measured)["WRN-28-10"]
    assert list(model["by_corruption"]) == ["fog"]
    assert model["mean"] == model["by_corruption"]["fog"]
    assert model["source"].startswith("https://github.com/RobustBench/")


@pytest.mark.parametrize(("dataset", "measured"), [("digits", NAMES), ("cifar10", {"frost": {"group": "own"}})])
def test_nothing_is_told_where_nothing_compares(dataset, measured):
    assert published_accuracies(dataset, measured) == {}
