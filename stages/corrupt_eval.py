"""Measure a variant, `fc`, say, on corrupted test images, before and after the temperature fitted on clean ones.

Reads data/corrupted, models/{variant}.safetensors and the temperature in results/calibration/{variant}.json. Writes
results/corruption/{variant}.csv: a row for the clean images, severity 0, and one per corruption and severity 1-5, with
the null band of the ECE after scaling beside it; and {variant}_correct.npy, bool (rows, images), which were right.
Params: calibrate.
"""

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stages.common.calibration import Calibrate, softmax
from stages.common.calibration_errors import binned_ece
from stages.common.corrupted import FROZEN, load_corrupted
from stages.common.metrics import accuracy, ece, nll
from stages.common.model import trainable
from stages.common.params import parse
from stages.common.predict import predict
from stages.common.resampling import null_band
from stages.common.saved import load_classifier
from stages.common.stage import main
from stages.common.tables import write_table


def run(params: dict, root: Path, variant: str) -> None:
    block = parse(params, "calibrate", Calibrate)
    conditions, inputs, labels = load_corrupted(root, variant)
    model = load_classifier(root / f"models/{variant}.safetensors")
    part = trainable(model, variant if variant in FROZEN else "full")
    temperature = json.loads((root / f"results/calibration/{variant}.json").read_text())["temperature"]
    errors = {"ece": partial(binned_ece, bins=block.bins)}

    rows, correct = [], []
    for condition, seen in zip(tqdm(conditions, f"corrupt_eval {variant}", disable=None), inputs, strict=True):
        logits = predict(part, seen.astype(np.float32) if variant in FROZEN else seen)
        before, after = softmax(logits), softmax(logits, temperature)
        correct.append(logits.argmax(axis=1) == labels)
        null = null_band(after.max(axis=1), errors, block.resamples, block.seed)["ece"]
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
    write_table(root / f"results/corruption/{variant}.csv", rows)
    np.save(root / f"results/corruption/{variant}_correct.npy", np.stack(correct))
    clean, *corrupted = rows
    mean = np.mean([row["accuracy"] for row in corrupted])
    print(f"{variant}: accuracy {clean['accuracy']:.4f} on clean images, {mean:.4f} on corrupted ones of all kinds")


if __name__ == "__main__":
    main(run, *sys.argv[1:])
