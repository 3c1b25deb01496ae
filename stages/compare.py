"""Test whether the variants differ, pair by pair, on the same test images.

Reads results/predictions/{variant}.npz, results/temperature/{variant}.json and results/corruption/{variant} of every
variant, and data/subset/classes.json. Writes results/comparison.json:
- for each pair, the differences in accuracy, in ECE and NLL after scaling, and in accuracy under corruption, with
  paired bootstrap intervals; and McNemar's test of equal accuracy, its p-value also adjusted for the number of pairs;
- each variant's accuracy under corruption, with its interval.
Params: calibrate.
"""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from study.data.splits import class_names
from study.evaluation.bootstrap import LEVEL, Resampled, bootstrap, difference, interval
from study.evaluation.paired_tests import holm, mcnemar
from study.evaluation.predictions import load_predictions
from study.evaluation.robustness import share_right
from study.evaluation.scores import resampled_scores
from study.evaluation.temperature import Calibrate, load_temperature
from study.pipeline.files import read_table, write_json
from study.pipeline.params import Refusal, parse
from study.pipeline.stage import main
from study.pipeline.variants import VARIANTS


def run(params: dict[str, Any], root: Path) -> None:
    block = parse(params, "calibrate", Calibrate)
    classes = class_names(root)
    tests = {variant: load_predictions(root, variant, "test", len(classes)) for variant in VARIANTS}
    labels = tests[VARIANTS[0]].labels
    figures, correct = {}, {}
    for variant, predictions in tests.items():
        if not np.array_equal(predictions.labels, labels):
            raise Refusal(
                f"results/predictions/{variant}.npz: test_labels are not those of {VARIANTS[0]}.npz, but only the same "
                f"test images can be compared: run `dvc repro predict@{VARIANTS[0]} predict@{variant}` again"
            )
        temperature = load_temperature(root, variant)
        measured = resampled_scores(predictions.logits, labels, temperature, block.bins)
        compared = {name: measured[name] for name in ("accuracy", "ece", "nll")}
        figures[variant] = bootstrap(compared, len(labels), block.resamples, block.seed)
        figures[variant]["corrupted_accuracy"] = corrupted_accuracy(root, variant, block)
        correct[variant] = predictions.logits.argmax(axis=1) == labels

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
    write_json(root / "results/comparison.json", result)


def corrupted_accuracy(root: Path, variant: str, block: Calibrate) -> Resampled:
    """Mean accuracy over the counted conditions; resampling keeps an image with all its corruptions."""
    folder = root / "results/corruption" / variant
    shares = share_right(read_table(folder / "conditions.csv"), np.load(folder / "correct.npy"))
    means = {"mean": lambda weights: (weights * shares).mean(axis=-1)}
    return bootstrap(means, len(shares), block.resamples, block.seed)["mean"]


if __name__ == "__main__":
    main(run)
