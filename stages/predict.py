"""Compute the logits of a trained variant, such as `fc`, for calibration and for test.

Reads models/{variant}.safetensors and data/subset (calibration.npz, test.npz). Writes in
results/predictions/{variant}.npz val_logits and val_labels, of `calibration`, and test_logits and test_labels.
Params: mirror.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from study.data.splits import load_split
from study.networks.inference import predict
from study.networks.loading import load_model
from study.pipeline.params import parse
from study.pipeline.stage import main


def run(params: dict[str, Any], root: Path, variant: str) -> None:
    model = load_model(root, variant, parse(params, "mirror", bool))
    calibration, test = load_split(root, "calibration"), load_split(root, "test")
    path = root / f"results/predictions/{variant}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        val_logits=predict(model, calibration.images),
        val_labels=calibration.labels,
        test_logits=predict(model, test.images),
        test_labels=test.labels,
    )


if __name__ == "__main__":
    main(run, *sys.argv[1:])
