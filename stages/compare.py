"""Test whether the variants differ, pair by pair, on the same test images.

Reads results/predictions/{variant}.npz, results/temperature/{variant}.json, results/corruption/{variant} and
results/adaptation/{variant} of every variant, and data/subset/dataset.json. Writes results/comparison.json:
- for each pair, the difference in accuracy with its score interval, and those in ECE and NLL after scaling and in
  accuracy under corruption with paired bootstrap intervals; and McNemar's test of equal accuracy, its p-value also
  adjusted for the number of pairs;
- under `shift`, each variant's accuracy and ECE after scaling, as means over the benchmark's corruptions
  (`corrupted`) and over those held out (`held_out`), with intervals; and what adapted batch-norm statistics change
  (`adapted`), with paired intervals, on the images of the stage `adapt`.
Params: calibrate, train (its variants).
"""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from study.data.splits import load_facts
from study.evaluation.bootstrap import LEVEL, Resampled, bootstrap, difference, interval
from study.evaluation.paired_tests import holm, mcnemar, paired_difference
from study.evaluation.predictions import load_predictions
from study.evaluation.robustness import counted, held_out, mean_measures
from study.evaluation.scores import resampled_scores
from study.evaluation.temperature import Calibrate, load_temperature
from study.pipeline.files import read_table, write_json
from study.pipeline.params import Refusal, parse
from study.pipeline.stage import main
from study.pipeline.variants import variants


def run(params: dict[str, Any], root: Path) -> None:
    block = parse(params, "calibrate", Calibrate)
    classes = load_facts(root).classes
    tests = {variant: load_predictions(root, variant, "test", len(classes)) for variant in variants(params)}
    first_variant, *_ = tests
    labels = tests[first_variant].labels
    figures, correct, shift = {}, {}, {}
    for variant, predictions in tests.items():
        if not np.array_equal(predictions.labels, labels):
            raise Refusal(
                f"results/predictions/{variant}.npz: test_labels are not those of {first_variant}.npz, but only the "
                f"same test images can be compared: run `dvc repro predict@{first_variant} predict@{variant}` again"
            )
        temperature = load_temperature(root, variant)
        measured = resampled_scores(predictions.logits, labels, temperature, block.bins)
        compared = {name: measured[name] for name in ("ece", "nll")}
        figures[variant] = bootstrap(compared, len(labels), block.resamples, block.seed)
        shift[variant] = under_shift(root, variant, block)
        figures[variant]["corrupted_accuracy"] = shift[variant]["corrupted"]["accuracy"]
        correct[variant] = predictions.logits.argmax(axis=1) == labels

    names = list(combinations(tests, 2))
    tested = [mcnemar(correct[first], correct[second]) for first, second in names]
    adjusted = holm([test["p_value"] for test in tested])
    pairs = []
    for (first, second), test, p_holm in zip(names, tested, adjusted, strict=True):
        differences = {"accuracy": paired_difference(correct[first], correct[second], LEVEL)}
        differences |= {name: difference(figures[first][name], figures[second][name]) for name in figures[first]}
        pairs.append({"first": first, "second": second, **differences, "mcnemar": {**test, "p_holm": p_holm}})
        print(f"{second} - {first}: accuracy {differences['accuracy']['difference']:+.4f}, p {p_holm:.2g} (Holm)")
    result = {
        "level": LEVEL,
        "resamples": block.resamples,
        "shift": {variant: told(groups) | adaptation(root, variant, block) for variant, groups in shift.items()},
        "pairs": pairs,
    }
    write_json(root / "results/comparison.json", result)


def under_shift(root: Path, variant: str, block: Calibrate) -> dict[str, dict[str, Resampled]]:
    """Mean accuracy and ECE over each group of conditions that there is."""
    folder = root / "results/corruption" / variant
    table = read_table(folder / "conditions.csv")
    groups = {"corrupted": counted(table).index, "held_out": held_out(table).index}
    return {name: of_rows(folder, rows, block) for name, rows in groups.items() if len(rows)}


def of_rows(folder: Path, rows: pd.Index, block: Calibrate, images: int | None = None) -> dict[str, Resampled]:
    """Means over these rows of confidence.npy and correct.npy, of the first `images` images."""
    confidence, correct = (np.load(folder / f"{name}.npy")[rows, :images] for name in ("confidence", "correct"))
    return bootstrap(mean_measures(confidence, correct, block.bins), correct.shape[1], block.resamples, block.seed)


def told(groups: dict[str, dict[str, Resampled]]) -> dict[str, Any]:
    return {
        group: {name: {"mean": of.estimate, **interval(of)} for name, of in figures.items()}
        for group, figures in groups.items()
    }


def adaptation(root: Path, variant: str, block: Calibrate) -> dict[str, Any]:
    """How adapted statistics change the mean accuracy and ECE under the benchmark's corruptions."""
    before, after = root / "results/corruption" / variant, root / "results/adaptation" / variant
    rows, images = counted(read_table(before / "conditions.csv")).index, np.load(after / "correct.npy").shape[1]
    frozen, adapted = (of_rows(folder, rows, block, images) for folder in (before, after))
    changes = {name: difference(frozen[name], adapted[name]) for name in frozen}
    return {"adapted": {"images": images, **told({"after": adapted})["after"], "change": changes}}


if __name__ == "__main__":
    main(run)
