"""This project's own stages, as `dvc repro` runs them, on the clock."""

from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
from torch import nn

from benchmarks.clock import Clock
from benchmarks.outcome import Outcome
from stages import features, train_fc, train_full, train_layer4
from stages.common import training
from stages.common.allocator import keep_freed_memory
from stages.common.examples import Examples

STAGES: dict[str, ModuleType] = {"fc": train_fc, "layer4": train_layer4, "full": train_full}


def cache_features(root: Path, params: dict[str, Any]) -> float:
    """Run `features`. Returns the seconds that it takes for the images to train on: judging is off the clock."""
    keep_freed_memory()
    write = features.write_features
    clock = Clock()

    def on_the_clock(model: nn.Module, folder: Path, split: str, *rest: Any) -> None:
        with nullcontext() if split == "train" else clock.paused():
            write(model, folder, split, *rest)

    with patch.object(features, "write_features", on_the_clock):
        features.run(params, root)
    return clock.seconds


def train(root: Path, params: dict[str, Any], depth: str, epochs: int) -> Outcome:
    """Run the stage of this depth on the cached features. epochs: of the alternatives; the stage has its own."""
    keep_freed_memory()
    judge = training.judge
    phases: list[int] = []
    clock = Clock()

    def off_the_clock(network: nn.Module, examples: Examples) -> tuple[float, float]:
        with clock.paused():
            loss, accuracy = judge(network, examples)
        clock.judged(accuracy)
        phases.append(id(network))
        return loss, accuracy

    with patch.object(training, "judge", off_the_clock):
        STAGES[depth].run(params, root)
    last = [accuracy for (_, accuracy), phase in zip(clock.curve, phases, strict=True) if phase == phases[-1]]
    with np.load(root / f"results/predictions/{depth}.npz") as predictions:
        return Outcome(clock.curve, max(last), **predictions)
