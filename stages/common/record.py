"""What a training leaves behind: the model, its predictions, its learning curve and its cost."""

import json
import platform
import re
from pathlib import Path

import numpy as np
import torch
from torch import nn

from stages.common.device import device, has_native_bf16
from stages.common.distributed import processes
from stages.common.examples import Examples
from stages.common.model import Classifier, save_classifier
from stages.common.predict import predict
from stages.common.tables import write_table


def save_training(
    root: Path,
    variant: str,
    model: Classifier,
    part: nn.Module,
    calibration: Examples,
    test: Examples,
    curve: list[dict],
) -> None:
    """Write models/{variant}.safetensors; under results/, predictions/{variant}.npz and training/{variant}.csv, .json.

    part: what was trained of `model`, and predicts from the inputs of `calibration` and `test`. The curve's seconds go
    to the .json alone: all other files come out the same, byte for byte, when the training is repeated.
    """
    save_classifier(model, root / f"models/{variant}.safetensors")
    predictions = root / f"results/predictions/{variant}.npz"
    predictions.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        predictions,
        val_logits=predict(part, calibration.inputs),
        val_labels=calibration.labels,
        test_logits=predict(part, test.inputs),
        test_labels=test.labels,
    )
    folder = root / "results/training"
    write_table(folder / f"{variant}.csv", [{key: row[key] for key in row if key != "seconds"} for row in curve])
    cost = {
        "train_seconds": sum(row["seconds"] for row in curve),
        "epoch_seconds": [row["seconds"] for row in curve],
        "trainable_parameters": sum(parameter.numel() for parameter in part.parameters()),
        "device": f"{processes()} x {hardware()}" if processes() > 1 else hardware(),
        "precision": "bfloat16" if has_native_bf16() else "float32",
    }
    (folder / f"{variant}.json").write_text(json.dumps(cost, indent=2) + "\n")


def hardware() -> str:
    """What the training ran on: the GPU, or the processor and how many threads of it."""
    if device().type == "cuda":
        return torch.cuda.get_device_name()
    try:
        (name, *_) = re.findall(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    except (OSError, ValueError):  # only Linux has the file, and not on every processor
        name = platform.processor() or platform.machine()
    return f"{name}, {torch.get_num_threads()} threads"
