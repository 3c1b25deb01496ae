"""Test whether the variants differ, two at a time, on the same test images.

Reads results/predictions/{variant}.npz and the temperatures in results/calibration/{variant}.json, of every variant,
and data/subset/classes.json. Writes results/comparison.json: for each pair, the differences in accuracy, and in ECE
and NLL after scaling, with paired bootstrap intervals, and McNemar's test of equal accuracy, its p-value also adjusted
for the number of pairs.
Params: calibrate.
"""

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
from stages.common.resampling import LEVEL, bootstrap, difference
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
        correct[variant] = test.logits.argmax(axis=1) == labels

    names = list(combinations(VARIANTS, 2))
    tested = [mcnemar(correct[first], correct[second]) for first, second in names]
    adjusted = holm([test["p_value"] for test in tested])
    pairs = []
    for (first, second), test, p_holm in zip(names, tested, adjusted, strict=True):
        differences = {name: difference(figures[first][name], figures[second][name]) for name in figures[first]}
        pairs.append({"first": first, "second": second, **differences, "mcnemar": {**test, "p_holm": p_holm}})
        print(f"{second} - {first}: accuracy {differences['accuracy']['difference']:+.4f}, p {p_holm:.2g} (Holm)")
    result = {"level": LEVEL, "resamples": block.resamples, "pairs": pairs}
    (root / "results/comparison.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main(run)
