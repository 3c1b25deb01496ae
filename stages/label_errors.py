"""Measure what CIFAR-10's wrong test labels cost each variant, and which of its misses they explain.

Reads data/subset (test.npz, classes.json), and results/predictions/{variant}.npz and results/temperature/{variant}.json
of every variant. Writes in results/label_errors
- summary.json: how many labels of the test split were flagged and how many are wrong; and for each variant its accuracy
  with and without the wrong ones, what it answers on their images, and how many of its misses they are;
- images.csv: a row per wrong label, the most doubtful first, with the judges' votes and every variant's answer.
For another dataset than cifar10 the counts are 0, and `variants` and the table are empty.
Params: data.dataset, and calibrate.resamples and calibrate.seed for the intervals.
"""

from pathlib import Path
from typing import Any

import numpy as np

from study.data.splits import class_names
from study.evaluation.bootstrap import LEVEL
from study.evaluation.predictions import load_predictions
from study.evaluation.temperature import Resamples, load_temperature, tempered_softmax
from study.label_errors.flagged import counts, images_table, in_split, load_flagged, measured
from study.pipeline.files import whole_folder, write_json, write_table
from study.pipeline.params import Refusal, Seed, parse
from study.pipeline.stage import main
from study.pipeline.variants import VARIANTS
from study.sources.stratified_draw import Dataset


def run(params: dict[str, Any], root: Path) -> None:
    dataset = parse(params, "data.dataset", Dataset)
    resamples, seed = parse(params, "calibrate.resamples", Resamples), parse(params, "calibrate.seed", Seed)
    classes = class_names(root)
    with np.load(root / "data/subset/test.npz") as test:
        labels, indices = test["labels"], test["indices"]
    found = in_split(load_flagged(dataset), labels, indices, classes)
    probabilities: dict[str, np.ndarray] = {
        variant: scaled(root, variant, labels, len(classes)) for variant in VARIANTS
    }

    variants = {}
    if dataset == "cifar10":
        for variant, of_variant in probabilities.items():
            variants[variant] = measured(of_variant, labels, found, classes, resamples, seed)
    told = {"dataset": dataset, **counts(found), "level": LEVEL, "resamples": resamples, "variants": variants}
    with whole_folder(root / "results/label_errors") as folder:
        write_json(folder / "summary.json", told)
        write_table(folder / "images.csv", images_table(found, probabilities, classes))
    for variant, figures in variants.items():
        before, after = figures["accuracy"]["mean"], figures["accuracy_without"]["mean"]
        print(f"{variant}: accuracy {before:.4f}, {after:.4f} without the {told['wrong']} wrong labels")


def scaled(root: Path, variant: str, labels: np.ndarray, classes: int) -> np.ndarray:
    """The variant's probabilities (N, classes) on the test images. Raises Refusal when they are of other images."""
    predictions = load_predictions(root, variant, "test", classes)
    if not np.array_equal(predictions.labels, labels):
        raise Refusal(
            f"results/predictions/{variant}.npz: test_labels are not those of data/subset/test.npz: "
            f"run `dvc repro predict@{variant}` again"
        )
    return tempered_softmax(predictions.logits, load_temperature(root, variant))


if __name__ == "__main__":
    main(run)
