import pytest

from lab.backbone.cycles import WARMUP, Epoch, plan
from study.pipeline.params import Refusal


def test_plan_lists_the_epochs_of_every_cycle() -> None:
    assert plan("1x48+2x64@0.2 1x64@0.1") == [
        Epoch(image_size=48, peak=0.2, position=0, length=3),
        Epoch(image_size=64, peak=0.2, position=1, length=3),
        Epoch(image_size=64, peak=0.2, position=2, length=3),
        Epoch(image_size=64, peak=0.1, position=0, length=1),
    ]


def test_the_learning_rate_rises_to_the_peak_and_falls_in_a_straight_line() -> None:
    whole = Epoch(image_size=64, peak=0.2, position=0, length=1)

    assert whole.lr(WARMUP / 2) == pytest.approx(0.1)
    assert whole.lr(WARMUP) == pytest.approx(0.2)
    assert whole.lr((1 + WARMUP) / 2) == pytest.approx(0.1)
    assert whole.lr(1.0) == pytest.approx(0.0)


def test_the_learning_rate_goes_on_from_epoch_to_epoch_of_a_cycle() -> None:
    first, second = plan("1x48+1x64@0.2")

    assert first.lr(1.0) == pytest.approx(second.lr(0.0))
    assert second.lr(1.0) == pytest.approx(0.0)


@pytest.mark.parametrize("cycles", ["", "8", "8x48", "x48@0.2", "8x48@", "8x48@-1", "8x48,9x64@0.2", "8x48+@0.2"])
def test_what_is_no_cycle_is_refused_with_the_format(cycles: str) -> None:
    with pytest.raises(Refusal, match=r"--cycles: .* is not a cycle; write EPOCHSxPIXELS@PEAK_LR"):
        plan(cycles)


@pytest.mark.parametrize("cycles", ["0x48@0.2", "8x48@0.2 1x16@0.1", "8x48@0.0"])
def test_empty_epochs_small_pictures_and_a_zero_rate_are_refused(cycles: str) -> None:
    with pytest.raises(Refusal, match="needs at least 1 epoch, 32 pixels and a rate above 0"):
        plan(cycles)
