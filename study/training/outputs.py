"""Save a training's results: the model, its learning curve and its cost."""

import platform
import re
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from study.networks.classifier import Classifier, model_path, save_classifier, trainable
from study.networks.device import device, has_native_bf16
from study.pipeline.files import write_json, write_table
from study.pipeline.libraries import libraries
from study.training.processes import processes


def save_training(
    root: Path, variant: str, model: Classifier, curve: list[dict[str, Any]], cached_features: bool
) -> None:
    """Write models/{variant}.safetensors and, under results/training/{variant}, curve.csv and cost.json.

    cached_features: whether the training took data/features. Seconds, hardware and libraries go to cost.json only, so a
    repeated training reproduces the other files byte for byte.
    """
    save_classifier(model, model_path(root, variant))
    folder = root / "results/training" / variant
    table = pd.DataFrame(curve)
    write_table(folder / "curve.csv", table.drop(columns="seconds"))
    cost = {
        "train_seconds": sum(table["seconds"]),
        "epoch_seconds": table["seconds"].tolist(),
        "trainable_parameters": sum(parameter.numel() for parameter in trainable(model)),
        "cached_features": cached_features,
        "device": f"{processes()} x {hardware()}" if processes() > 1 else hardware(),
        "precision": "bfloat16" if has_native_bf16() else "float32",
        "libraries": libraries(),
    }
    write_json(folder / "cost.json", cost)


def hardware() -> str:
    """What the training ran on: the GPU, or the processor and its number of threads."""
    if device().type == "cuda":
        return torch.cuda.get_device_name()
    try:
        (name, *_) = re.findall(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    except (OSError, ValueError):  # only Linux has the file, and some processors no such line
        name = platform.processor() or platform.machine()
    return f"{name}, {torch.get_num_threads()} threads"
