"""Measure the networks between `fc` and `full` in weight space, each with a temperature of its own.

Reads models/{fc,full}.safetensors, data/corrupted (images.npy, labels.npy, conditions.json), data/subset, and of the
two ends results/corruption, results/predictions and results/temperature. Writes results/interpolation.csv: a row per
share of `full`, the ends among them, with accuracy and ECE after scaling on the test images and, as means over the
conditions, under the benchmark's corruptions and under those held out; and what each gains over `full` in accuracy,
with its paired interval.
Params: calibrate, interpolate, mirror.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from study.adaptation.interpolation import Interpolate, estimate_statistics, interpolated
from study.corruption.corrupted_set import Corrupted, load_corrupted
from study.data.splits import load_facts, load_split
from study.evaluation.mixtures import Answers, confident, gains, groups
from study.evaluation.predictions import load_predictions
from study.evaluation.temperature import Calibrate, fit_temperature, load_temperature
from study.networks.classifier import Classifier
from study.networks.inference import predict
from study.networks.loading import load_model
from study.pipeline.files import write_table
from study.pipeline.params import parse
from study.pipeline.stage import main

FIRST, SECOND = "fc", "full"


def run(params: dict[str, Any], root: Path) -> None:
    block, calibrate = parse(params, "interpolate", Interpolate), parse(params, "calibrate", Calibrate)
    mirror = parse(params, "mirror", bool)
    first, second = (load_model(root, name, mirror) for name in (FIRST, SECOND))
    corrupted = load_corrupted(root)
    conditions = pd.DataFrame(corrupted.conditions)
    needed = np.concatenate(list(groups(conditions).values()))
    train = load_split(root, "train").images
    some = train[np.random.default_rng(block.seed).permutation(len(train))[: block.train_images]]

    answers = {0.0: end(root, FIRST, block.images), 1.0: end(root, SECOND, block.images)}
    for share in tqdm(block.shares, "interpolate", disable=None):
        between = interpolated(first, second, share)
        estimate_statistics(between, some)
        answers[share] = answered(root, between, corrupted, needed, block.images)
    table = gains(answers, conditions, calibrate)
    write_table(root / "results/interpolation.csv", table)
    for row in table.itertuples():
        print(f"{row.share:.2f}: accuracy {row.accuracy:.4f}, {row.corrupted_accuracy:.4f} corrupted")


def end(root: Path, variant: str, images: int) -> Answers:
    """What was measured of a variant, under every condition."""
    test, temperature = (
        load_predictions(root, variant, "test", len(load_facts(root).classes)),
        load_temperature(root, variant),
    )
    folder = root / "results/corruption" / variant
    confidence, correct = (np.load(folder / f"{name}.npy")[:, :images] for name in ("confidence", "correct"))
    return Answers(temperature, confident(test.logits, test.labels, temperature), (confidence, correct))


def answered(root: Path, model: Classifier, corrupted: Corrupted, rows: np.ndarray, images: int) -> Answers:
    """The same of another network, whose temperature is fitted first. Conditions beside `rows` are left at zero."""
    test, calibration = load_split(root, "test"), load_split(root, "calibration")
    temperature = fit_temperature(predict(model, calibration.images), calibration.labels).temperature
    labels = corrupted.labels[:images]
    confidence = np.zeros((len(corrupted.conditions), len(labels)))
    correct = np.zeros(confidence.shape, dtype=bool)
    for row in rows:
        logits = predict(model, corrupted.images[row, :images])
        confidence[[row]], correct[[row]] = confident(logits, labels, temperature)
    of_test = confident(predict(model, test.images), test.labels, temperature)
    return Answers(temperature, of_test, (confidence, correct))


if __name__ == "__main__":
    main(run)
