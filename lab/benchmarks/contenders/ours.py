"""This project's own features and trainings, as `dvc repro` runs them, on the clock."""

from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from lab.benchmarks.contenders.outcome import Outcome
from lab.benchmarks.measuring.clock import Clock
from stages import predict
from study.data.splits import Examples, load_facts, load_split
from study.features.frozen_features import features_path, training_views, write_pooled
from study.networks.classifier import Head, pretrained
from study.networks.device import make_deterministic
from study.pipeline.files import read_table
from study.pipeline.params import parse
from study.pipeline.stage import keep_freed_memory
from study.training.fine_tune import Common, FineTuning, common_settings, fine_tune
from study.training.loop import loss_and_accuracy


def cache_features(root: Path, params: dict[str, Any]) -> float:
    """Write what the stage `features` writes. Returns the seconds for train: selection is off the clock."""
    keep_freed_memory()
    clock = Clock()
    common = parse(params, "train.common", Common)
    make_deterministic(common.seed)
    facts = load_facts(root)
    model = pretrained(root, Head(hidden=[], dropout=0.0), facts.classes, common.image_size)
    features_path(root, "train").parent.mkdir(parents=True, exist_ok=True)
    train = load_split(root, "train").images
    views = training_views(train, common.views, common.augment.of(facts), common.seed)
    write_pooled(model, features_path(root, "train"), views, (common.views, len(train)), np.float16)
    with clock.paused():
        selection = load_split(root, "selection").images
        write_pooled(model, features_path(root, "selection"), [selection], (len(selection),), np.float32)
    return clock.seconds


def train(root: Path, params: dict[str, Any], depth: str, epochs: int) -> Outcome:
    """Fine-tune at this depth on the cached features. epochs: of the alternatives; params has ours."""
    keep_freed_memory()
    clock = Clock()

    def off_the_clock(network: nn.Module, examples: Examples) -> tuple[float, float]:
        with clock.paused():
            loss, accuracy = loss_and_accuracy(network, examples)
        clock.judged(accuracy)
        return loss, accuracy

    phase = parse(params, f"train.{depth}", FineTuning)
    fine_tune(depth, common_settings(params), phase, root, judge=off_the_clock)
    predict.run(params, root, depth)
    curve = read_table(root / f"results/training/{depth}/curve.csv")
    kept = curve.groupby("phase", sort=False)["val_accuracy"].max().iloc[-1]  # of the last phase's best epoch
    with np.load(root / f"results/predictions/{depth}.npz") as predictions:
        return Outcome(clock.curve, float(kept), **predictions)
