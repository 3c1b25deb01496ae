"""Measure a variant, such as `fc`, on corrupted test images, before and after the temperature fitted on clean ones.

Reads data/corrupted, models/{variant}.safetensors and results/temperature/{variant}.json. Writes in
results/corruption/{variant}
- conditions.csv: a row for the clean images (severity 0) and for each corruption and severity 1-5, with the null band
  of the ECE after scaling;
- correct.npy: whether each image is classified right, bool (rows, images);
- confidence.npy: its confidence after scaling, float64 (rows, images);
- logits.npy: before scaling, float32 (rows, images, classes).
Params: calibrate.bins, calibrate.resamples, calibrate.seed, mirror.
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from study.corruption.corrupted_set import load_corrupted
from study.evaluation.bootstrap import null_band
from study.evaluation.calibration_errors import binned_ece
from study.evaluation.scores import accuracy, confidence_and_correct, ece, nll
from study.evaluation.temperature import Calibrate, load_temperature, tempered_softmax
from study.networks.inference import predict
from study.networks.loading import load_model
from study.pipeline.files import whole_folder, write_table
from study.pipeline.params import parse
from study.pipeline.stage import main


def run(params: dict[str, Any], root: Path, variant: str) -> None:
    block = parse(params, "calibrate", Calibrate)
    conditions, images, labels = load_corrupted(root)
    model = load_model(root, variant, parse(params, "mirror", bool))
    temperature = load_temperature(root, variant)
    errors = {"ece": partial(binned_ece, bins=block.bins)}

    rows, confidences, corrects, all_logits = [], [], [], []
    for condition, seen in zip(tqdm(conditions, f"corrupt_eval {variant}", disable=None), images, strict=True):
        logits = predict(model, seen)
        before, after = tempered_softmax(logits), tempered_softmax(logits, temperature)
        confidence, correct = confidence_and_correct(after, labels)
        confidences.append(confidence)
        corrects.append(correct)
        all_logits.append(logits)
        null = null_band(confidence, errors, block.resamples, block.seed)["ece"]
        rows.append(
            {
                "variant": variant,
                **condition,
                "images": len(labels),
                "accuracy": accuracy(before, labels),
                "nll_before": nll(logits, labels),
                "nll_after": nll(logits, labels, temperature),
                "ece_before": ece(before, labels, block.bins),
                "ece_after": ece(after, labels, block.bins),
                "ece_null_mean": null["mean"],
                "ece_null_upper": null["upper"],
            }
        )
    table = pd.DataFrame(rows)
    with whole_folder(root / "results/corruption" / variant) as folder:
        write_table(folder / "conditions.csv", table)
        np.save(folder / "correct.npy", np.stack(corrects))
        np.save(folder / "confidence.npy", np.stack(confidences))
        np.save(folder / "logits.npy", np.stack(all_logits))
    clean, corrupted = table["accuracy"][0], table["accuracy"][1:].mean()
    print(f"{variant}: accuracy {clean:.4f} on clean images, {corrupted:.4f} on corrupted ones of all kinds")


if __name__ == "__main__":
    main(run, *sys.argv[1:])
