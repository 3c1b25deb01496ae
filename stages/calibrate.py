"""Fit one temperature on the validation logits of a variant and measure it on the test logits: `fc`, say.

Reads results/predictions/{variant}.npz and data/subset/classes.json. Writes results/calibration/{variant}.json
(temperature, metrics before and after it, per-class report, most confused pairs), {variant}_reliability.csv (a row
per bin, before and after) and {variant}_confusion.csv (a row per test image).
Params: calibrate.
"""

import json
import sys
from pathlib import Path

from stages.common.calibration import Calibrate, fit_temperature, softmax
from stages.common.classification import macro, most_confused, per_class
from stages.common.datasets import class_names
from stages.common.metrics import accuracy, brier, ece, nll, reliability_bins
from stages.common.params import parse
from stages.common.predictions import load_predictions
from stages.common.stage import main
from stages.common.tables import write_table


def run(params: dict, root: Path, variant: str) -> None:
    bins = parse(params, "calibrate", Calibrate).bins
    classes = class_names(root)
    val = load_predictions(root, variant, "val", len(classes))
    test = load_predictions(root, variant, "test", len(classes))
    predicted = test.logits.argmax(axis=1)

    temperature = fit_temperature(val.logits, val.labels)
    report = per_class(test.labels, predicted, classes)
    metrics, reliability = {}, []
    for calibration, scale in (("before", 1.0), ("after", temperature)):
        probabilities = softmax(test.logits, scale)
        metrics[calibration] = {
            "accuracy": accuracy(probabilities, test.labels),
            "nll": nll(test.logits, test.labels, scale),
            "brier": brier(probabilities, test.labels),
            "ece": ece(probabilities, test.labels, bins),
            **macro(report),
        }
        rows = reliability_bins(probabilities, test.labels, bins)
        reliability += [{"variant": variant, "calibration": calibration, **row} for row in rows]
    assert metrics["before"]["accuracy"] == metrics["after"]["accuracy"], "a temperature changed the predictions"

    folder = root / "results/calibration"
    write_table(folder / f"{variant}_reliability.csv", reliability)
    pairs = zip(test.labels, predicted, strict=True)
    confusion = [{"variant": variant, "actual": classes[true], "predicted": classes[guess]} for true, guess in pairs]
    write_table(folder / f"{variant}_confusion.csv", confusion)
    confused = most_confused(test.labels, predicted, classes)
    result = {"temperature": temperature, **metrics, "per_class": report, "confused": confused}
    (folder / f"{variant}.json").write_text(json.dumps(result, indent=2) + "\n")
    print(
        f"{variant}: temperature {temperature:.3f}, ECE {metrics['before']['ece']:.4f} before and "
        f"{metrics['after']['ece']:.4f} after, accuracy {metrics['after']['accuracy']:.4f}"
    )


if __name__ == "__main__":
    main(run, *sys.argv[1:])
