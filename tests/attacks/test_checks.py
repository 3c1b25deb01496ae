import pytest

from study.attacks.checks import Findings, checks

SOUND = Findings(
    epsilons=[1, 2, 8],
    clean=0.9,
    noise=[0.9, 0.91, 0.85],
    fgsm=[0.6, 0.5, 0.5],
    pgd=[0.6, 0.3, 0.0],
    tempered=[0.6, 0.5, 0.5],
    furthest=[1, 2, 8],
    zero_gradients=0.0,
)


def failed(found):
    return [row["check"] for row in checks(found) if not row["passed"]]


def test_attacks_that_work_pass_every_check():
    assert len(checks(SOUND)) == 8
    assert failed(SOUND) == []


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"fgsm": [0.6, 0.5, 0.55], "tempered": [0.6, 0.5, 0.55]}, "FGSM leaves no more images right at a larger"),
        ({"pgd": [0.2, 0.3, 0.0]}, "PGD leaves no more images right at a larger epsilon"),
        ({"pgd": [0.65, 0.3, 0.0]}, "PGD is at least as strong as FGSM at every epsilon"),
        ({"noise": [0.9, 0.91, 0.84]}, "Random noise of the same size costs at most 5% of the images"),
        ({"furthest": [1, 3, 8]}, "No value of an attacked image, as uint8, is further than epsilon"),
        ({"tempered": [0.6, 0.5, 0.6]}, "FGSM does the same with and without the temperature"),
        ({"zero_gradients": 0.005}, "No image lacks a gradient to follow"),
        ({"pgd": [0.6, 0.3, 0.025]}, "PGD leaves at most 2% of the images right at 8 / 255"),
    ],
)
def test_each_fault_fails_its_own_check_alone(change, check):
    (name,) = failed(SOUND._replace(**change))
    assert name.startswith(check)


def test_small_epsilons_are_not_expected_to_break_the_classifier():
    mild = Findings([1], 0.9, [0.9], [0.6], [0.5], [0.6], [1], 0.0)
    assert len(checks(mild)) == 7
    assert failed(mild) == []


def test_the_detail_has_the_figures():
    details = [row["detail"] for row in checks(SOUND)]
    assert details[1] == "accuracy 0.600, 0.300, 0.000 at 1, 2, 8 / 255"
    assert details[3] == "accuracy 0.900 on clean images, 0.900, 0.910, 0.850 at 1, 2, 8 / 255"
    assert details[6] == "0.0% of the images"
