"""Test whether the variants differ, two at a time, on the same test images.

Reads results/predictions/{variant}.npz, the temperatures in results/calibration/{variant}.json and
results/corruption/{variant}.csv and {variant}_correct.npy, of every variant, and data/subset/classes.json. Writes
results/comparison.json: for each pair, the differences in accuracy, in ECE and NLL after scaling, and in accuracy under
corruption, with paired bootstrap intervals, and McNemar's test of equal accuracy, its p-value also adjusted for the
number of pairs; and the accuracy under corruption of each variant with its interval.
Params: calibrate.
"""

import csv
import json
from itertools import combinations
from pathlib import Path

import numpy as np

from stages.common.calibration import Calibrate
from stages.common.comparison import holm, mcnemar
from stages.common.datasets import class_names
from stages.common.measures import measures
from stages.common.params import Refusal, parse
from stages.common.predictions import load_predictions
from stages.common.resampling import LEVEL, Resampled, bootstrap, difference, interval
from stages.common.robustness import share_right
from stages.common.stage import main
from stages.common.variants import VARIANTS


def run(params: dict, root: Path) -> None:
    block = parse(params, "calibrate", Calibrate)
    classes = class_names(root)
    tests = {variant: load_predictions(root, variant, "test", len(classes)) for variant in VARIANTS}
    labels = tests[VARIANTS[0]].labels
    figures, correct = {}, {}
    for variant, test in tests.items():
        if not np.array_equal(test.labels, labels):
            raise Refusal(
                f"results/predictions/{variant}.npz: test_labels are not those of {VARIANTS[0]}.npz, but only the same "
                f"test images can be compared: run `dvc repro train_{VARIANTS[0]} train_{variant}` again"
            )
        temperature = json.loads((root / f"results/calibration/{variant}.json").read_text())["temperature"]
        measured = measures(test.logits, labels, temperature, block.bins)
        compared = {name: measured[name] for name in ("accuracy", "ece", "nll")}
        figures[variant] = bootstrap(compared, len(labels), block.resamples, block.seed)
        figures[variant]["corrupted_accuracy"] = corrupted_accuracy(root, variant, block)
        correct[variant] = test.logits.argmax(axis=1) == labels

    names = list(combinations(VARIANTS, 2))
    tested = [mcnemar(correct[first], correct[second]) for first, second in names]
    adjusted = holm([test["p_value"] for test in tested])
    pairs = []
    for (first, second), test, p_holm in zip(names, tested, adjusted, strict=True):
        differences = {name: difference(figures[first][name], figures[second][name]) for name in figures[first]}
        pairs.append({"first": first, "second": second, **differences, "mcnemar": {**test, "p_holm": p_holm}})
        print(f"{second} - {first}: accuracy {differences['accuracy']['difference']:+.4f}, p {p_holm:.2g} (Holm)")
    corrupted = {variant: of["corrupted_accuracy"] for variant, of in figures.items()}
    result = {
        "level": LEVEL,
        "resamples": block.resamples,
        "corrupted_accuracy": {name: {"mean": of.estimate, **interval(of)} for name, of in corrupted.items()},
        "pairs": pairs,
    }
    (root / "results/comparison.json").write_text(json.dumps(result, indent=2) + "\n")


def corrupted_accuracy(root: Path, variant: str, block: Calibrate) -> Resampled:
    """Its mean over the conditions that count; the images are resampled, each with all its corruptions."""
    table = root / f"results/corruption/{variant}.csv"
    with table.open(newline="", encoding="utf-8") as file:
        shares = share_right(list(csv.DictReader(file)), np.load(table.with_name(f"{variant}_correct.npy")))
    means = {"mean": lambda weights: (weights * shares).mean(axis=-1)}
    return bootstrap(means, len(shares), block.resamples, block.seed)["mean"]


if __name__ == "__main__":
    main(run)
