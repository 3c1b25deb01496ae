"""Fit one temperature on the validation logits of a variant and measure it on the test logits: `fc`, say.

Reads results/predictions/{variant}.npz and data/subset/classes.json. Writes results/calibration/{variant}.json
(temperature, metrics before and after it with the null bands of the calibration errors, the differences that it makes
with their intervals, per-class report, most confused and confusable pairs), {variant}_reliability.csv (a row per bin,
before and after) and {variant}_confusion.csv (a row per test image).
Params: calibrate.
"""

import json
import sys
from pathlib import Path

import numpy as np

from stages.common.calibration import Calibrate, fit_temperature, softmax
from stages.common.calibration_errors import confidence_errors
from stages.common.classification import confusable, macro, most_confused, per_class
from stages.common.datasets import class_names
from stages.common.measures import measures
from stages.common.metrics import confidence_and_correct, reliability_bins
from stages.common.params import parse
from stages.common.predictions import load_predictions
from stages.common.resampling import LEVEL, bootstrap, difference, interval, null_band
from stages.common.selective import risk_at_coverage
from stages.common.stage import main
from stages.common.tables import write_table

COVERAGES = (0.7, 0.8, 0.9, 1.0)  # shares of the test images, the most confident first


def run(params: dict, root: Path, variant: str) -> None:
    block = parse(params, "calibrate", Calibrate)
    sampling = {"resamples": block.resamples, "seed": block.seed}
    classes = class_names(root)
    val = load_predictions(root, variant, "val", len(classes))
    test = load_predictions(root, variant, "test", len(classes))
    predicted = test.logits.argmax(axis=1)

    temperature = fit_temperature(val.logits, val.labels)
    report = per_class(test.labels, predicted, classes)
    figures, metrics, reliability = {}, {}, []
    for calibration, scale in (("before", 1.0), ("after", temperature)):
        probabilities = softmax(test.logits, scale)
        confidence, correct = confidence_and_correct(probabilities, test.labels)
        assert np.array_equal(correct, predicted == test.labels), "a temperature changed the predictions"
        figures[calibration] = bootstrap(
            measures(test.logits, test.labels, scale, block.bins), len(test.labels), **sampling
        )
        metrics[calibration] = {
            **{name: figure.estimate for name, figure in figures[calibration].items()},
            "risk_at_coverage": {str(share): risk_at_coverage(confidence, correct, share) for share in COVERAGES},
            **macro(report),
            "null": null_band(confidence, confidence_errors(block.bins), **sampling),
        }
        rows = reliability_bins(probabilities, test.labels, block.bins)
        reliability += [{"variant": variant, "calibration": calibration, **row} for row in rows]
    before, after = figures["before"], figures["after"]

    folder = root / "results/calibration"
    write_table(folder / f"{variant}_reliability.csv", reliability)
    pairs = zip(test.labels, predicted, strict=True)
    confusion = [{"variant": variant, "actual": classes[true], "predicted": classes[guess]} for true, guess in pairs]
    write_table(folder / f"{variant}_confusion.csv", confusion)
    result = {
        "temperature": temperature,
        **metrics,
        "intervals": {"level": LEVEL, "resamples": block.resamples, "accuracy": interval(after["accuracy"])},
        "differences": {name: difference(before[name], after[name]) for name in before if name != "accuracy"},
        "per_class": report,
        "confused": most_confused(test.labels, predicted, classes),
        "confusable": confusable(test.labels, predicted, classes),
    }
    (folder / f"{variant}.json").write_text(json.dumps(result, indent=2) + "\n")
    print(
        f"{variant}: temperature {temperature:.3f}, ECE {before['ece'].estimate:.4f} before and "
        f"{after['ece'].estimate:.4f} after, accuracy {after['accuracy'].estimate:.4f}"
    )


if __name__ == "__main__":
    main(run, *sys.argv[1:])
