"""What the tests of the maps come to: means over images with their intervals, and checks passed or failed."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.stats import bootstrap

from stages.common.cam import TITLES, Method
from stages.common.faithfulness import Areas, Measure

LEVEL = 0.95
RESAMPLES = 1000
BASELINES = {"random": "random places", "centre": "the image's centre"}
ALIKE = 0.5  # rank correlation from which on two maps count as much the same

Interval = dict[str, float]


def attribution(
    areas: dict[str, Areas], correlations: dict[str, dict[Method, np.ndarray]], between: dict[Method, np.ndarray]
) -> dict[str, Any]:
    """{"faithfulness", "over_baselines", "randomisation", "between_images", "checks"} from what was measured per image.

    areas: as `faithfulness.faithfulness` returns them; correlations and between: as `randomisation.randomisation` and
    `randomisation.between_images` do.
    """
    differences, steps = over_baselines(areas), randomisation(correlations)
    reference = {method: mean_interval(of) for method, of in between.items()}
    return {
        "faithfulness": faithfulness(areas),
        "over_baselines": differences,
        "randomisation": steps,
        "between_images": reference,
        "checks": [*_against_baselines(differences), *_after_randomisation(steps, reference)],
    }


def mean_interval(values: np.ndarray) -> Interval:
    """The mean over images, float (N,) with N > 1, and its percentile bootstrap interval at LEVEL."""
    drawn = bootstrap((values,), np.mean, n_resamples=RESAMPLES, confidence_level=LEVEL, method="percentile", rng=0)
    low, high = drawn.confidence_interval
    return {"mean": float(np.mean(values)), "low": float(low), "high": float(high)}


def faithfulness(areas: dict[str, Areas]) -> dict[str, dict[Measure, Interval]]:
    """For every method and baseline the mean area under the deletion and the insertion curve."""
    return {name: {measure: mean_interval(values) for measure, values in of.items()} for name, of in areas.items()}


def over_baselines(areas: dict[str, Areas]) -> dict[Method, dict[Measure, dict[str, Interval]]]:
    """What a method's area exceeds a baseline's by on the same images: {method: {measure: {baseline: difference}}}.

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


def randomisation(correlations: dict[str, dict[Method, np.ndarray]]) -> dict[Method, list[dict[str, Any]]]:
    """Each method's steps from {layer randomised last: {method: rank correlations with the trained model's maps}}."""
    return {
        method: [
            {"through": layer, "rank_correlation": mean_interval(of[method])} for layer, of in correlations.items()
        ]
        for method in TITLES
    }


def _against_baselines(differences: dict) -> Iterator[dict[str, Any]]:
    """Passed when both intervals are on the good side."""
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
    """Passed when the whole interval is below ALIKE."""
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
