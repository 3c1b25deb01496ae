"""Measure a variant, such as `fc`, with batch-norm statistics that were re-estimated on the corrupted images.

The temperature is the one fitted on clean images. The weights stay, and no label is looked at. Reads data/corrupted
(images.npy, labels.npy, conditions.json), models/{variant}.safetensors, results/temperature/{variant}.json and
results/corruption/{variant}. Writes in results/adaptation/{variant}
- conditions.csv: a row per condition and batch size, beside the figures of the same images without adaptation (batch
  size 0): every condition at the largest batch size, clean images and severity 5 at the others;
- correct.npy and confidence.npy: of each image at the largest batch size, (conditions, images).
Params: adapt, calibrate.bins, mirror.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from study.adaptation.batch_norm import Adapt, adapted
from study.corruption.catalogue import SEVERITIES
from study.corruption.corrupted_set import load_corrupted
from study.evaluation.calibration_errors import binned_ece
from study.evaluation.scores import confidence_and_correct
from study.evaluation.temperature import Bins, load_temperature, tempered_softmax
from study.networks.inference import predict
from study.networks.loading import load_model
from study.pipeline.files import whole_folder, write_table
from study.pipeline.params import parse
from study.pipeline.stage import main


def run(params: dict[str, Any], root: Path, variant: str) -> None:
    block, bins = parse(params, "adapt", Adapt), parse(params, "calibrate.bins", Bins)
    conditions, images, labels = load_corrupted(root)
    images, labels = images[:, : block.images], labels[: block.images]
    batch_sizes = sorted({min(size, len(labels)) for size in block.batch_sizes})
    measured = root / "results/corruption" / variant
    model = load_model(root, variant, parse(params, "mirror", bool))
    temperature, largest = load_temperature(root, variant), batch_sizes[-1]
    frozen = [np.load(measured / f"{name}.npy")[:, : block.images] for name in ("confidence", "correct")]
    network = adapted(model, block.pseudo_count)

    rows, answers = [], []
    for condition, seen, *before in zip(
        tqdm(conditions, f"adapt {variant}", disable=None), images, *frozen, strict=True
    ):
        sizes = batch_sizes if condition["severity"] in (0, SEVERITIES[-1]) else [largest]
        found = {0: before}
        for size in sizes:
            probabilities = tempered_softmax(predict(network, seen, size), temperature)
            found[size] = list(confidence_and_correct(probabilities, labels))
        rows += [
            {"variant": variant, **condition, "batch_size": size, "images": len(labels)}
            | {"accuracy": float(correct.mean()), "ece": float(binned_ece(confidence, correct, bins=bins))}
            for size, (confidence, correct) in found.items()
        ]
        answers.append(found[largest])
    table = pd.DataFrame(rows)
    with whole_folder(root / "results/adaptation" / variant) as folder:
        write_table(folder / "conditions.csv", table)
        for place, name in enumerate(("confidence", "correct")):
            np.save(folder / f"{name}.npy", np.stack([answer[place] for answer in answers]))
    corrupted = table[table["severity"] > 0].groupby("batch_size")["accuracy"].mean()
    print(f"{variant}: accuracy {corrupted[0]:.4f} under corruption, {corrupted[largest]:.4f} adapted")


if __name__ == "__main__":
    main(run, *sys.argv[1:])
