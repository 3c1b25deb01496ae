"""Compute the logits of a trained variant, such as `fc`, for half of val and for test.

Reads models/{variant}.safetensors and data/subset (val.npz, test.npz). Writes results/predictions/{variant}.npz:
val_logits and val_labels of the half of val that did not select the checkpoint, test_logits and test_labels.
Params: mirror.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from study.data.splits import Examples, halves, load_split
from study.networks.inference import predict
from study.networks.loading import load_classifier
from study.pipeline.params import parse
from study.pipeline.stage import main


def run(params: dict[str, Any], root: Path, variant: str) -> None:
    model = load_classifier(root / f"models/{variant}.safetensors", parse(params, "mirror", bool))
    val, test = (Examples(*load_split(root, split)) for split in ("val", "test"))
    _, calibration = halves(val)
    path = root / f"results/predictions/{variant}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        val_logits=predict(model, calibration.inputs),
        val_labels=calibration.labels,
        test_logits=predict(model, test.inputs),
        test_labels=test.labels,
    )


if __name__ == "__main__":
    main(run, *sys.argv[1:])
