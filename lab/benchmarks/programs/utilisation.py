"""How much of the machine's matrix-product rate `train_full` and inference use, and where the rest goes.

A model's floating-point operations are those of its convolutions and matrix products by their formulas, padding
included, as torch's FlopCounterMode counts them in a forward pass; a training step has three times as many. What is
executed is fewer where no gradient is wanted.
Each run is a process of its own that measures the product's rate and the rest in turn.
Writes utilisation.csv, and profile.csv: the time of a training step by kind of operation.
"""

import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from lab.benchmarks.measuring.machine import describe
from lab.benchmarks.measuring.matrix_product import gemm_rate, synchronise
from lab.benchmarks.measuring.operations import profiled
from lab.benchmarks.measuring.process import apart
from lab.benchmarks.measuring.table import Table
from lab.benchmarks.programs.inputs import parameters, prepare, work_folder
from lab.benchmarks.programs.plan import Plan
from study.data.splits import load_facts, load_split
from study.features.augment import BatchAugment
from study.networks.backbones import BackboneName, untrained
from study.networks.classifier import Classifier, Head, pretrained
from study.networks.device import device, has_native_bf16, make_deterministic
from study.networks.inference import predict
from study.pipeline.params import parse
from study.pipeline.stage import keep_freed_memory
from study.training.fine_tune import Common, FineTuning
from study.training.loop import Batches, over_images
from study.training.recipe import Learner

STEPS, QUICK_STEPS = 12, 2  # timed in a run, after one that warms up
INFERRED, QUICK_INFERRED = 2000, 100  # images
PASSES = 3  # forward passes' worth of operations in a training step


class Training(NamedTuple):
    """What `train_full` makes of its parameters."""

    model: Classifier
    learner: Learner
    batches: Batches
    batch_size: int


def run(project: Path, folder: Path, plan: Plan) -> None:
    table, profile = Table(folder / "utilisation.csv"), Table(folder / "profile.csv")
    root = work_folder(project, "utilisation")
    prepare(project, root, plan.quick)
    for number in range(plan.runs):
        for image_size in plan.sizes:
            place = {"machine": describe(), "image_size": image_size}
            params = parameters(project, plan.quick, image_size, seed=0)
            if not table.has(**place, run=number):
                print(f"utilisation, {image_size} px, run {number + 1} ... ", end="", flush=True)
                row = apart(measure, root, params, plan.quick)
                print(f"training {row['train_share']:.0%}, inference {row['inference_share']:.0%}", flush=True)
                table.add({**place, "run": number, **row})
            if not profile.has(**place):
                print(f"profile, {image_size} px", flush=True)
                for row in apart(profile_steps, root, params, plan.quick):
                    profile.add({**place, **row})


def full_training(root: Path, params: dict[str, Any], steps: int) -> Training:
    head = parse(params, "backbone.head", Head)
    common = parse(params, "train.common", Common)
    phase = parse(params, "train.full", FineTuning)
    fresh = parse(params, "train.full.augment", BatchAugment)
    keep_freed_memory()
    make_deterministic(common.seed)
    facts = load_facts(root)
    model = pretrained(root, head, facts.classes, common.image_size).to(device()).train()
    batches = over_images(load_split(root, "train").examples, common.batch_size, fresh.of(facts))
    return Training(model, Learner(model, common.recipe, phase, steps, phase.layer_decay), batches, common.batch_size)


def measure(root: Path, params: dict[str, Any], quick: bool) -> dict[str, Any]:
    """One run: the product's rate, training with and without augmentation, inference, and the product's rate again."""
    steps = QUICK_STEPS if quick else STEPS
    training = full_training(root, params, 3 * steps + 3)
    images = load_split(root, "test").images
    images = images[: QUICK_INFERRED if quick else INFERRED]
    dtypes = [torch.float32, *([torch.bfloat16] if has_native_bf16() else [])]
    rates = {dtype: [gemm_rate(dtype)] for dtype in dtypes}

    loop, step = step_seconds(training, steps)
    training.model.eval()
    predict(training.model, images[:100])
    start = time.perf_counter()
    predict(training.model, images)
    inference = len(images) / (time.perf_counter() - start)
    for dtype in dtypes:
        rates[dtype].append(gemm_rate(dtype))

    forward = forward_flops(params, load_facts(root).classes)
    fastest = median(rates[dtypes[-1]])
    trained = training.batch_size / loop
    row = {f"gemm_{str(dtype).removeprefix('torch.')}": round(median(rate) / 1e9, 1) for dtype, rate in rates.items()}
    return {
        "gemm_float32": row["gemm_float32"],
        "gemm_bfloat16": row.get("gemm_bfloat16"),
        "train_images_per_second": round(trained, 1),
        "step_images_per_second": round(training.batch_size / step, 1),
        "inference_images_per_second": round(inference, 1),
        "forward_gflop": round(forward / 1e9, 4),
        "executed_gflop": round(executed_flops(training) / 1e9, 4),
        "train_share": round(trained * PASSES * forward / fastest, 4),
        "inference_share": round(inference * forward / fastest, 4),
    }


def step_seconds(training: Training, steps: int) -> tuple[float, float]:
    """Median seconds of a step of `train_full`: from drawing a batch to changed weights, and without the drawing."""
    generator = torch.Generator().manual_seed(0)
    whole, alone = [], []
    while len(whole) <= steps:
        for_epoch = training.batches.epoch(generator)
        start = time.perf_counter()
        for inputs, targets in for_epoch:
            drawn = time.perf_counter()
            training.learner.step(inputs, targets)
            synchronise()
            end = time.perf_counter()
            whole.append(end - start)
            alone.append(end - drawn)
            start = end
            if len(whole) > steps:
                break
    return median(whole[1:]), median(alone[1:])


def forward_flops(params: dict[str, Any], classes: list[str]) -> int:
    """Of one image, by the formulas."""
    head = parse(params, "backbone.head", Head)
    name = parse(params, "backbone.name", BackboneName)
    model = Classifier(untrained(name), head, classes, params["train"]["common"]["image_size"]).eval()
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(torch.zeros(1, 32, 32, 3, dtype=torch.uint8))
    return counter.get_total_flops()


def executed_flops(training: Training) -> float:
    """Of one image in a training step, as executed."""
    inputs, targets = next(training.batches.epoch(torch.Generator().manual_seed(0)))
    training.model.train()
    counter = FlopCounterMode(display=False)
    with counter:
        training.learner.step(inputs, targets)
    return counter.get_total_flops() / len(inputs)


def profile_steps(root: Path, params: dict[str, Any], quick: bool) -> list[dict[str, Any]]:
    """A row per kind of operation: kind, milliseconds of a training step, share of it in [0, 1]."""
    steps = QUICK_STEPS if quick else STEPS // 2
    training = full_training(root, params, steps + 2)
    generator = torch.Generator().manual_seed(0)
    step_seconds(training, 1)
    batches = (batch for _ in iter(int, 1) for batch in training.batches.epoch(generator))

    def step() -> None:
        with torch.profiler.record_function("augmentation"):
            inputs, targets = next(batches)
        training.learner.step(inputs, targets)

    spent = profiled(step, steps)
    total = np.sum(list(spent.values()))
    return [
        {"kind": kind, "milliseconds": round(1000 * seconds / steps, 3), "share": round(seconds / total, 4)}
        for kind, seconds in sorted(spent.items(), key=lambda item: -item[1])
    ]
