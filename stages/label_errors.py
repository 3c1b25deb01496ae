"""Measure what CIFAR-10's wrong test labels cost each variant, and which of its misses they explain.

Reads data/subset (test.npz, dataset.json), and results/predictions/{variant}.npz and results/temperature/{variant}.json
of every variant. Writes in results/label_errors
- summary.json: how many labels of the test split were flagged and how many are wrong; and for each variant its accuracy
  with and without the wrong ones, what it answers on their images, and how many of its misses they are;
- images.csv: a row per wrong label, the most doubtful first, with the judges' votes and every variant's answer.
For another dataset than cifar10 the counts are 0, and `variants` and the table are empty.
Params: data.dataset, train (its variants), and calibrate.resamples and calibrate.seed for the intervals.
"""

from pathlib import Path
from typing import Any

import numpy as np

from study.data.splits import load_facts, split_path
from study.evaluation.bootstrap import LEVEL
from study.evaluation.predictions import load_predictions
from study.evaluation.temperature import Resamples, load_temperature, tempered_softmax
from study.label_errors.flagged import counts, images_table, in_split, load_flagged, measured
from study.pipeline.files import whole_folder, write_json, write_table
from study.pipeline.params import Refusal, Seed, parse
from study.pipeline.stage import main
from study.pipeline.variants import variants
from study.sources.datasets import Dataset


def run(params: dict[str, Any], root: Path) -> None:
    dataset = parse(params, "data.dataset", Dataset)
    resamples, seed = parse(params, "calibrate.resamples", Resamples), parse(params, "calibrate.seed", Seed)
    classes = load_facts(root).classes
    with np.load(split_path(root, "test")) as test:  # without the images
        labels, indices = test["labels"], test["indices"]
    found = in_split(load_flagged(dataset), labels, indices, classes)
    probabilities = {variant: tempered(root, variant, labels, len(classes)) for variant in variants(params)}

    figures = {}
    if dataset == "cifar10":
        for variant, of_variant in probabilities.items():
            figures[variant] = measured(of_variant, labels, found, classes, resamples, seed)
    summary = {"dataset": dataset, **counts(found), "level": LEVEL, "resamples": resamples, "variants": figures}
    with whole_folder(root / "results/label_errors") as folder:
        write_json(folder / "summary.json", summary)
        write_table(folder / "images.csv", images_table(found, probabilities, classes))
    for variant, of in figures.items():
        before, after = of["accuracy"]["mean"], of["accuracy_without"]["mean"]
        print(f"{variant}: accuracy {before:.4f}, {after:.4f} without the {summary['wrong']} wrong labels")


def tempered(root: Path, variant: str, labels: np.ndarray, classes: int) -> np.ndarray:
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
