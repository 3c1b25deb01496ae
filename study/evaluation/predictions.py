"""A trained variant's logits on held-out images."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from study.pipeline.params import Refusal


class Predictions(NamedTuple):
    """logits: float32 (N, C); labels: int64 (N,), in [0, C)."""

    logits: np.ndarray
    labels: np.ndarray


def load_predictions(root: Path, variant: str, split: str, classes: int) -> Predictions:
    """The variant's predictions on "val" or "test".

    Raises Refusal when the logits are not finite, or when the file does not fit the number of classes.
    """
    path = root / f"results/predictions/{variant}.npz"
    with np.load(path) as file:
        logits, labels = file[f"{split}_logits"], file[f"{split}_labels"]
    if logits.shape != (len(labels), classes) or labels.ndim != 1:
        raise Refusal(
            f"{path}: {split}_logits {logits.shape} and {split}_labels {labels.shape} should be (N, {classes}) and "
            f"(N,): run `dvc repro predict@{variant}` again"
        )
    finite = np.isfinite(logits).all(axis=1)
    if not finite.all():
        raise Refusal(
            f"{path}: logits of {np.sum(~finite)} of {len(labels)} {split} images are not finite, because the "
            f"training diverged: lower train.{variant}.lr"
        )
    return Predictions(logits, labels)
