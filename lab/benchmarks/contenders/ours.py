"""This project's own features and trainings, as `dvc repro` runs them, on the clock."""

from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from lab.benchmarks.contenders.outcome import Outcome
from lab.benchmarks.measuring.clock import Clock
from stages import predict
from study.data.splits import Examples, class_names, load_split
from study.features.frozen_features import training_views, write_features
from study.networks.classifier import Depth, Head, pretrained
from study.networks.device import make_deterministic
from study.pipeline.files import read_table
from study.pipeline.params import parse
from study.pipeline.stage import keep_freed_memory
from study.training.fine_tune import Common, common_settings, fine_tune
from study.training.loop import loss_and_accuracy
from study.training.recipe import ImagePhase, Phase


def cache_features(root: Path, params: dict[str, Any]) -> float:
    """Write what the stage `features` writes. Returns the seconds for train: val, which judges, is off the clock."""
    keep_freed_memory()
    clock = Clock()
    common = parse(params, "train.common", Common)
    make_deterministic(common.seed)
    no_head = Head(hidden=[], dropout=0.0)
    model = pretrained(root / "data/backbone/weights.safetensors", no_head, class_names(root), common.image_size)
    folder = root / "data/features"
    folder.mkdir(parents=True, exist_ok=True)
    train, _ = load_split(root, "train")
    views = training_views(train, common.views, common.augment, common.seed)
    write_features(model, folder, "train", views, (common.views, len(train)), np.float16)
    with clock.paused():
        val, _ = load_split(root, "val")
        write_features(model, folder, "val", iter([val]), (1, len(val)), np.float32)
    return clock.seconds


def train(root: Path, params: dict[str, Any], depth: Depth, epochs: int) -> Outcome:
    """Fine-tune at this depth on the cached features. epochs: of the alternatives; params has ours."""
    keep_freed_memory()
    clock = Clock()

    def off_the_clock(network: nn.Module, examples: Examples) -> tuple[float, float]:
        with clock.paused():
            loss, accuracy = loss_and_accuracy(network, examples)
        clock.judged(accuracy)
        return loss, accuracy

    probe = None if depth == "fc" else parse(params, "train.common.probe", Phase)
    phase = parse(params, f"train.{depth}", ImagePhase if depth == "full" else Phase)
    fine_tune(depth, common_settings(params), probe, phase, root, judge=off_the_clock)
    predict.run(params, root, depth)
    curve = read_table(root / f"results/training/{depth}/curve.csv")
    kept = curve.groupby("phase", sort=False)["val_accuracy"].max().iloc[-1]  # of the last phase's best epoch
    with np.load(root / f"results/predictions/{depth}.npz") as predictions:
        return Outcome(clock.curve, float(kept), **predictions)
