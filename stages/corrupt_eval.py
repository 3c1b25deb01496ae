"""Measure a variant, `fc`, say, on corrupted test images, before and after the temperature fitted on clean ones.

Reads models/{variant}.safetensors, the temperature in results/calibration/{variant}.json and data/subset/test.npz.
Writes results/corruption/{variant}.csv: a row per corruption and severity 1-5, and one, severity 0, for the
clean images.
Params: corrupt_eval, calibrate.bins.
"""

import json
import sys
from itertools import product
from pathlib import Path

import numpy as np
from sklearn.utils import resample
from tqdm import tqdm

from stages.common.calibration import Calibrate, softmax
from stages.common.corruption import SEVERITIES, CorruptEval, corrupt
from stages.common.datasets import load_split
from stages.common.metrics import accuracy, ece, nll
from stages.common.model import load_classifier
from stages.common.params import Refusal, parse
from stages.common.predict import predict
from stages.common.stage import main
from stages.common.tables import write_table


def run(params: dict, root: Path, variant: str) -> None:
    block, bins = parse(params, "corrupt_eval", CorruptEval), parse(params, "calibrate", Calibrate).bins
    images, labels = load_split(root, "test")
    if block.images > len(images):
        raise Refusal(
            f"params.yaml: corrupt_eval.images = {block.images}: the test split has {len(images)}; lower it or raise "
            "data.test"
        )
    images, labels = resample(
        images, labels, replace=False, n_samples=block.images, stratify=labels, random_state=block.seed
    )
    model = load_classifier(root / f"models/{variant}.safetensors")
    temperature = json.loads((root / f"results/calibration/{variant}.json").read_text())["temperature"]

    rows = []
    conditions = [("clean", 0), *product(block.corruptions, SEVERITIES)]
    for corruption, severity in tqdm(conditions, desc=f"corrupt_eval {variant}"):
        seen = corrupt(images, corruption, severity, block.seed) if severity else images
        logits = predict(model, seen)
        before, after = softmax(logits), softmax(logits, temperature)
        rows.append(
            {
                "variant": variant,
                "corruption": corruption,
                "severity": severity,
                "images": len(seen),
                "accuracy": accuracy(before, labels),
                "nll_before": nll(logits, labels),
                "nll_after": nll(logits, labels, temperature),
                "ece_before": ece(before, labels, bins),
                "ece_after": ece(after, labels, bins),
            }
        )
    write_table(root / f"results/corruption/{variant}.csv", rows)
    corrupted = np.mean([row["accuracy"] for row in rows[1:]])
    print(f"{variant}: accuracy {rows[0]['accuracy']:.4f} on clean images, {corrupted:.4f} on corrupted ones")


if __name__ == "__main__":
    main(run, *sys.argv[1:])
