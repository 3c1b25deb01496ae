import numpy as np
import pandas as pd

from lab.benchmarks.reporting.training_figure import training_figure


def row(run, contender, curve):
    return {"image_size": 64, "run": run, "depth": "fc", "contender": contender, "seconds": 9.0, "curve": curve}


def test_the_lines_are_medians_of_the_seeds_and_from_the_lowest_to_the_highest_is_shaded():
    features = [row(run, "ours", None) | {"depth": "features", "seconds": 20.0} for run in range(3)]
    ours = [row(run, "ours", "1:0.6 2:0.7") for run in range(3)]
    tutorial = [
        row(run, "tutorial", f"{at}:{low} {2 * at}:0.9") for run, at, low in ((0, 4, 0.5), (1, 8, 0.4), (2, 6, 0.8))
    ]
    (axes,) = training_figure(pd.DataFrame([*features, *ours, *tutorial])).get_axes()
    cached, counted, theirs = [line.get_xydata() for line in axes.get_lines()]
    np.testing.assert_allclose(theirs, [(6, 0.5), (12, 0.9)])
    np.testing.assert_allclose(cached, [(1, 0.6), (2, 0.7)])
    np.testing.assert_allclose(counted, [(21, 0.6), (22, 0.7)])
    shaded = axes.collections[-1].get_paths()[0].vertices
    at_the_first = shaded[shaded[:, 0] == 6]
    assert {at_the_first[:, 1].min(), at_the_first[:, 1].max()} == {0.4, 0.8}


def test_a_run_of_more_epochs_is_drawn_as_far_as_the_others():
    features = [row(run, "ours", None) | {"depth": "features", "seconds": 20.0} for run in range(2)]
    ours = [row(0, "ours", "1:0.6 2:0.7"), row(1, "ours", "1:0.6 2:0.7 3:0.8")]
    (axes,) = training_figure(pd.DataFrame([*features, *ours])).get_axes()
    assert [len(line.get_xydata()) for line in axes.get_lines()] == [2, 2]
