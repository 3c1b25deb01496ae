"""Fit a temperature on the validation logits of a variant, such as `fc`, and measure it on the test logits.

Reads results/predictions/{variant}.npz, and data/subset (train.npz, dataset.json). Writes
results/temperature/{variant}.json, and in results/calibration/{variant}
- metrics.json: metrics before and after scaling, with the null bands of calibration errors; the differences between
  the two, with intervals; what always answering the commonest class gets right; the per-class report; the classes that
  are never predicted; the most confused and the confusable pairs;
- reliability.csv: a row per bin, before and after;
- confusion.csv: a row per test image.
Params: calibrate.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from study.data.splits import load_facts, load_labels
from study.evaluation.bootstrap import LEVEL, bootstrap, difference, interval, null_band
from study.evaluation.calibration_errors import confidence_errors
from study.evaluation.per_class import (
    confusable,
    listed,
    macro,
    majority_accuracy,
    most_confused,
    never_predicted,
    per_class,
)
from study.evaluation.predictions import load_predictions
from study.evaluation.scores import confidence_and_correct, reliability_bins, resampled_scores
from study.evaluation.selective import risk_at_coverage
from study.evaluation.temperature import (
    Calibrate,
    fit_temperature,
    save_temperature,
    tempered_softmax,
    why_not_fitted,
)
from study.pipeline.files import whole_folder, write_json, write_table
from study.pipeline.params import parse
from study.pipeline.stage import main

COVERAGES = (0.7, 0.8, 0.9, 1.0)  # shares of the test images, the most confident first


def run(params: dict[str, Any], root: Path, variant: str) -> None:
    block = parse(params, "calibrate", Calibrate)
    sampling = {"resamples": block.resamples, "seed": block.seed}
    classes = load_facts(root).classes
    val = load_predictions(root, variant, "val", len(classes))
    test = load_predictions(root, variant, "test", len(classes))
    predicted = test.logits.argmax(axis=1)
    train_labels = load_labels(root, "train")

    temperature, fitted = fit_temperature(val.logits, val.labels)
    figures, metrics, reliability = {}, {}, {}
    for calibration, scale in (("before", 1.0), ("after", temperature)):
        probabilities = tempered_softmax(test.logits, scale)
        confidence, correct = confidence_and_correct(probabilities, test.labels)
        scores = resampled_scores(test.logits, test.labels, scale, block.bins)
        figures[calibration] = bootstrap(scores, len(test.labels), **sampling)
        metrics[calibration] = {
            **{name: figure.estimate for name, figure in figures[calibration].items()},
            "risk_at_coverage": {str(share): risk_at_coverage(confidence, correct, share) for share in COVERAGES},
            **macro(test.labels, predicted, classes),
            "null": null_band(confidence, confidence_errors(block.bins), **sampling),
        }
        reliability[variant, calibration] = reliability_bins(probabilities, test.labels, block.bins)
    before, after = figures["before"], figures["after"]
    never = never_predicted(predicted, classes)
    measured = {
        "temperature": temperature,
        "fitted": fitted,
        **metrics,
        "intervals": {"level": LEVEL, "resamples": block.resamples, "accuracy": interval(after["accuracy"])},
        "differences": {name: difference(before[name], after[name]) for name in before if name != "accuracy"},
        "majority_accuracy": majority_accuracy(train_labels, test.labels),
        "never_predicted": never,
        "per_class": per_class(test.labels, predicted, classes),
        "confused": most_confused(test.labels, predicted, classes),
        "confusable": confusable(test.labels, predicted, classes),
    }
    names = np.array(classes)
    confusion = pd.DataFrame({"variant": variant, "actual": names[test.labels], "predicted": names[predicted]})

    save_temperature(root, variant, temperature, fitted)
    with whole_folder(root / "results/calibration" / variant) as folder:
        write_json(folder / "metrics.json", measured)
        identity = ["variant", "calibration"]
        write_table(folder / "reliability.csv", pd.concat(reliability, names=identity).reset_index(level=identity))
        write_table(folder / "confusion.csv", confusion)
    print(
        f"{variant}: temperature {temperature:.3f}, ECE {before['ece'].estimate:.4f} before and "
        f"{after['ece'].estimate:.4f} after, accuracy {after['accuracy'].estimate:.4f}"
    )
    if not fitted:
        print(f"{variant}: its temperature was not fitted: {why_not_fitted(temperature)}")
    if never:
        print(f"{variant} never predicts {listed(never)}")


if __name__ == "__main__":
    main(run, *sys.argv[1:])
