import pytest

from study.corruption.conditions import conditions


def test_the_conditions_are_clean_then_each_corruption_at_rising_severity():
    found = conditions(["fog", "occlusion"], official=False)
    assert [(condition["corruption"], condition["severity"]) for condition in found] == [
        ("clean", 0), *[("fog", severity) for severity in (1, 2, 3, 4, 5)],
        *[("occlusion", severity) for severity in (1, 2, 3, 4, 5)],
    ]  # fmt: skip
    assert found[0] == {"corruption": "clean", "group": "clean", "severity": 0}


@pytest.mark.parametrize(("official", "of_frost"), [(False, "own"), (True, "benchmark")])
def test_frost_counts_for_the_benchmark_only_from_the_official_files(official, of_frost):
    names = ["frost", "gaussian_noise", "saturate", "occlusion"]
    groups = {condition["corruption"]: condition["group"] for condition in conditions(names, official)}
    assert groups == {
        "clean": "clean", "frost": of_frost, "gaussian_noise": "benchmark", "saturate": "extra", "occlusion": "own"
    }  # fmt: skip
