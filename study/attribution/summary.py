"""Summarise the tests of the maps: means over images with intervals, and checks passed or failed."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from study.attribution.cam import TITLES, Method
from study.attribution.faithfulness import Areas, Measure
from study.evaluation.bootstrap import bootstrap, interval

RESAMPLES = 1000
BASELINES = {"random": "random places", "centre": "the image's centre"}
ALIKE = 0.5  # rank correlation from which two maps count as alike

Interval = dict[str, float]


def summarise(
    areas: dict[str, Areas], correlations: dict[str, dict[Method, np.ndarray]], between: dict[Method, np.ndarray]
) -> dict[str, Any]:
    """{"faithfulness", "over_baselines", "randomisation", "between_images", "checks"} from results per image.

    areas: from `faithfulness.deletion_insertion`; correlations and between: from `randomisation.cascade_correlations`
    and `randomisation.between_images`.
    """
    differences, steps = over_baselines(areas), randomisation_steps(correlations)
    reference = {method: mean_interval(of) for method, of in between.items()}
    return {
        "faithfulness": mean_areas(areas),
        "over_baselines": differences,
        "randomisation": steps,
        "between_images": reference,
        "checks": [*_against_baselines(differences), *_after_randomisation(steps, reference)],
    }


def mean_interval(values: np.ndarray) -> Interval:
    """The mean over images, float (N,), and its bootstrap interval."""
    means = {"mean": lambda weights: (weights * values).mean(axis=-1)}
    figure = bootstrap(means, len(values), RESAMPLES, seed=0)["mean"]
    return {"mean": figure.estimate, **interval(figure)}


def mean_areas(areas: dict[str, Areas]) -> dict[str, dict[Measure, Interval]]:
    """The mean areas under the deletion and insertion curves, for every method and baseline."""
    return {name: {measure: mean_interval(values) for measure, values in of.items()} for name, of in areas.items()}


def over_baselines(areas: dict[str, Areas]) -> dict[Method, dict[Measure, dict[str, Interval]]]:
    """A method's area minus a baseline's on the same images: {method: {measure: {baseline: difference}}}.

    A good map's deletion area is smaller than a baseline's, its insertion area larger.
    """
    return {
        method: {
            measure: {name: _difference(values, areas[name][measure]) for name in BASELINES}
            for measure, values in areas[method].items()
        }
        for method in TITLES
    }


def _difference(values: np.ndarray, others: np.ndarray) -> Interval:
    paired = mean_interval(values - others)
    return {"difference": paired["mean"], "low": paired["low"], "high": paired["high"]}


def randomisation_steps(correlations: dict[str, dict[Method, np.ndarray]]) -> dict[Method, list[dict[str, Any]]]:
    """Each method's steps, from {last block randomised: {method: rank correlations with the trained model's maps}}."""
    return {
        method: [
            {"through": layer, "rank_correlation": mean_interval(of[method])} for layer, of in correlations.items()
        ]
        for method in TITLES
    }


def _against_baselines(differences: dict[Method, dict[Measure, dict[str, Interval]]]) -> Iterator[dict[str, Any]]:
    """A check passes if both intervals are on the right side of 0."""
    for method, of in differences.items():
        for baseline, words in BASELINES.items():
            deletion, insertion = of["deletion"][baseline], of["insertion"][baseline]
            yield {
                "check": f"{TITLES[method]} marks what the prediction hangs on better than {words}",
                "passed": deletion["high"] < 0 < insertion["low"],
                "detail": f"area under the deletion curve {_signed(deletion)}, insertion {_signed(insertion)}",
            }


def _after_randomisation(
    steps: dict[Method, list[dict[str, Any]]], reference: dict[Method, Interval]
) -> Iterator[dict[str, Any]]:
    """A check passes if the whole interval is below ALIKE."""
    for method, rows in steps.items():
        for row, words in ((rows[0], "an untrained head"), (rows[-1], "an untrained network")):
            yield {
                "check": f"{TITLES[method]} shows something else for {words}",
                "passed": row["rank_correlation"]["high"] < ALIKE,
                "detail": f"rank correlation {_plain(row['rank_correlation'])}, to be below {ALIKE}; "
                f"between different images {_plain(reference[method])}",
            }


def _plain(interval: Interval) -> str:
    return f"{interval['mean']:.2f} [{interval['low']:.2f}, {interval['high']:.2f}]"


def _signed(interval: Interval) -> str:
    return f"{interval['difference']:+.3f} [{interval['low']:+.3f}, {interval['high']:+.3f}]"
