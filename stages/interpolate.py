"""Measure the networks between `fc` and `full` in weight space, each with a temperature of its own.

Reads models/{fc,full}.safetensors, data/corrupted (images.npy, labels.npy, conditions.json), data/subset, and of the
two ends results/corruption, results/predictions and results/temperature. Writes results/interpolation.csv: a row per
share of `full`, the ends among them, with accuracy and ECE after scaling on the test images and, as means over the
conditions, under the benchmark's corruptions and under those held out; and what each gains over `full` in accuracy,
with its paired interval.
Params: calibrate, interpolate, mirror.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from study.adaptation.interpolation import Interpolate, estimate_statistics, interpolated
from study.corruption.corrupted_set import Corrupted, load_corrupted_images
from study.data.splits import Examples, class_names, halves, load_split
from study.evaluation.bootstrap import Resampled, bootstrap, difference
from study.evaluation.predictions import load_predictions
from study.evaluation.robustness import counted, held_out, mean_measures
from study.evaluation.scores import confidence_and_correct
from study.evaluation.temperature import HIGHEST, Calibrate, fit_temperature, load_temperature, tempered_softmax
from study.networks.classifier import Classifier
from study.networks.inference import predict
from study.networks.loading import load_classifier
from study.pipeline.files import write_table
from study.pipeline.params import Refusal, parse
from study.pipeline.stage import main

FIRST, SECOND = "fc", "full"


class Answers(NamedTuple):
    """Of a network with its temperature: confidence and correctness on the test images and under the conditions."""

    temperature: float
    test: tuple[np.ndarray, np.ndarray]  # (1, N) each
    corrupted: tuple[np.ndarray, np.ndarray]  # (conditions, images) each


def run(params: dict[str, Any], root: Path) -> None:
    block, calibrate = parse(params, "interpolate", Interpolate), parse(params, "calibrate", Calibrate)
    mirror = parse(params, "mirror", bool)
    first, second = (load_classifier(root / f"models/{name}.safetensors", mirror) for name in (FIRST, SECOND))
    corrupted = load_corrupted_images(root)
    table = pd.DataFrame(corrupted.conditions)
    rows = {"corrupted_": counted(table).index, "held_out_": held_out(table).index}
    train, _ = load_split(root, "train")
    some = train[np.random.default_rng(block.seed).permutation(len(train))[: block.train_images]]

    answers = {0.0: end(root, FIRST, block.images), 1.0: end(root, SECOND, block.images)}
    for share in tqdm(block.shares, "interpolate", disable=None):
        between = interpolated(first, second, share)
        estimate_statistics(between, some)
        needed = np.concatenate(list(rows.values()))
        answers[share] = answered(root, between, corrupted, needed, block.images)

    figures = {share: resampled(answers[share], rows, calibrate) for share in sorted(answers)}
    lines = []
    for share, of in figures.items():
        gains = {name: difference(figures[1.0][name], of[name]) for name in of if name.endswith("accuracy")}
        estimates = {name: figure.estimate for name, figure in of.items()}
        lines.append({"share": share, "temperature": answers[share].temperature} | estimates | columns(gains))
        print(f"{share:.2f}: accuracy {estimates['accuracy']:.4f}, {estimates['corrupted_accuracy']:.4f} corrupted")
    write_table(root / "results/interpolation.csv", pd.DataFrame(lines))


def end(root: Path, variant: str, images: int) -> Answers:
    """What was measured of a variant, under every condition."""
    test, temperature = load_predictions(root, variant, "test", len(class_names(root))), load_temperature(root, variant)
    folder = root / "results/corruption" / variant
    confidence, correct = (np.load(folder / f"{name}.npy")[:, :images] for name in ("confidence", "correct"))
    return Answers(temperature, confident(test.logits, test.labels, temperature), (confidence, correct))


def answered(root: Path, model: Classifier, corrupted: Corrupted, rows: np.ndarray, images: int) -> Answers:
    """The same of another network, whose temperature is fitted first. Conditions beside `rows` are left at zero."""
    test, (_, calibration) = Examples(*load_split(root, "test")), halves(Examples(*load_split(root, "val")))
    temperature = fitted(predict(model, calibration.inputs), calibration.labels)
    labels = corrupted.labels[:images]
    confidence = np.zeros((len(corrupted.conditions), len(labels)))
    correct = np.zeros(confidence.shape, dtype=bool)
    for row in rows:
        logits = predict(model, corrupted.inputs[row, :images])
        confidence[[row]], correct[[row]] = confident(logits, labels, temperature)
    of_test = confident(predict(model, test.inputs), test.labels, temperature)
    return Answers(temperature, of_test, (confidence, correct))


def fitted(logits: np.ndarray, labels: np.ndarray) -> float:
    """A mixture may have lost what its ends know; it is then made as unsure as a temperature can."""
    try:
        return fit_temperature(logits, labels)
    except Refusal:
        return HIGHEST


def confident(logits: np.ndarray, labels: np.ndarray, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    confidence, correct = confidence_and_correct(tempered_softmax(logits, temperature), labels)
    return confidence[None], correct[None]


def resampled(answers: Answers, rows: dict[str, pd.Index], block: Calibrate) -> dict[str, Resampled]:
    """Accuracy and ECE: on the test images, and with the prefix of a group of conditions their means over it."""
    confidence, correct = answers.corrupted
    groups = {"": answers.test} | {name: (confidence[of], correct[of]) for name, of in rows.items() if len(of)}
    return {
        f"{prefix}{name}": figure
        for prefix, (sure, right) in groups.items()
        for name, figure in bootstrap(
            mean_measures(sure, right, block.bins), right.shape[1], block.resamples, block.seed
        ).items()
    }


def columns(gains: dict[str, dict[str, float]]) -> dict[str, float]:
    ends = {"": "difference", "_low": "low", "_high": "high"}
    return {f"{name}_gain{suffix}": gain[key] for name, gain in gains.items() for suffix, key in ends.items()}


if __name__ == "__main__":
    main(run)
