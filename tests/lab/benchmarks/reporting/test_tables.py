import pandas as pd
import pytest

from lab.benchmarks.reporting.tables import epoch_table, exponent, growth_table, training_table


def row(depth, contender, seconds, accuracy=None, curve=None):
    scores = dict.fromkeys(("val_accuracy", "test_accuracy"), accuracy)
    honesty = {"ece": 0.02 if accuracy else None, "ece_scaled": None}
    place = {"machine": "here", "image_size": 64, "run": 0, "depth": depth, "contender": contender}
    return {**place, "whole_seconds": None, "seconds": seconds, **scores, **honesty, "curve": curve}


ROWS = pd.DataFrame(
    [
        row("features", "ours", 20),
        row("fc", "ours", 4, 0.8, "2:0.7 4:0.8"),
        row("fc", "tutorial", 300, 0.7, "100:0.5 200:0.7 300:0.6"),
    ]
).astype({"ece_scaled": float})


def test_the_ratio_is_of_the_seconds_to_the_accuracy_that_both_reach():
    (line,) = training_table(ROWS).splitlines()[2:]
    theirs, ours, cached = 200.0, 20.0 + 2.0, 2.0  # at 70 %, which the tutorial keeps
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:4] == ["64 px", "fc", "PyTorch's tutorial", "70.00%"]
    assert cells[4:9] == ["200.0 s", "22.0 s", f"**{theirs / ours:.1f}x**", "2.0 s", f"{theirs / cached:.1f}x"]
    assert cells[9:11] == ["70.00%", "80.00%"]


def test_several_seeds_are_told_by_their_median_and_their_extremes():
    seeds = [
        ROWS.assign(run=seed, seconds=ROWS["seconds"] * slower, test_accuracy=ROWS["test_accuracy"] + gain)
        for seed, slower, gain in ((0, 1.0, 0.0), (1, 2.0, 0.01), (2, 3.0, -0.01))
    ]
    (line,) = training_table(pd.concat(seeds)).splitlines()[2:]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[4:7] == ["200.0 s", "42.0 s", "**4.8x (3.2 to 9.1)**"]  # theirs 200 s; ours 2 s behind 20, 40 or 60
    assert cells[7:9] == ["2.0 s", "100.0x (100.0 to 100.0)"]
    assert cells[9:11] == ["70.00% (69.00% to 71.00%)", "80.00% (79.00% to 81.00%)"]
    assert cells[-1] == "3"


def test_an_epoch_is_told_beside_one_at_the_limit():
    gflop, rate = 2.0, 100.0
    machine = {"image_size": 64, "gemm_float32": 1.0, "gemm_bfloat16": rate, "forward_gflop": gflop}
    ours, tutorial, *others = epoch_table(ROWS, pd.DataFrame([machine])).splitlines()[2:]
    at_the_limit = 5_000 * 3 * gflop / rate
    assert ours == f"| 64 px | ours | 2.00 s | {at_the_limit:.2f} s |"
    assert tutorial == f"| 64 px | PyTorch's tutorial | 100.00 s | {at_the_limit:.2f} s |"
    assert all(row.endswith(f"|  | {at_the_limit:.2f} s |") for row in others)


def test_a_contender_that_ends_at_guessing_gets_no_ratio():
    nobody = pd.DataFrame([row("fc", "tutorial", 300, 0.1, "100:0.1 300:0.05")]).astype({"ece_scaled": float})
    assert len(training_table(pd.concat([ROWS[:2], nobody])).splitlines()) == 2


def test_growth_is_told_at_its_largest_points_by_the_median_of_the_runs_in_whatever_order():
    def point(images, side, seconds):
        place = {"part": "full", "images": images, "image_size": side}
        return place | {"seconds": seconds, "own_mb": 10 * seconds}

    runs = [point(4000, 32, seconds) for seconds in (4, 8, 5)]
    rows = [*runs, point(1000, 128, 30), point(1000, 32, 1), point(1000, 64, 7.5)]
    cells = growth_table(pd.DataFrame(rows)).splitlines()[-1]
    assert [cell.strip() for cell in cells.strip("|").split("|")][2:] == ["1.00", "5.0 s, 50 MB", "30.0 s, 300 MB"]


def test_time_in_proportion_to_the_pixels_has_exponent_one():
    rows = [{"image_size": side, "seconds": 0.5 * side**2} for side in (32, 64, 128)]
    assert exponent(pd.DataFrame(rows), "image_size", 2) == pytest.approx(1)
