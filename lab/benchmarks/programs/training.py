"""Training at equal accuracy: this project's stages against three usual ways, at each depth.

The same images, weights, split and threads; every contender in a process of its own, one after the other. A clock runs
from the moment that a contender has its libraries until the last epoch ends, and stands still while a model is judged.
Our frozen features are one measurement for all depths; benchmarks.reporting adds them to each.
Writes training.csv.
"""

import shutil
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lab.benchmarks.contenders.outcome import Outcome, columns
from lab.benchmarks.measuring.machine import describe
from lab.benchmarks.measuring.process import apart
from lab.benchmarks.measuring.table import Table
from lab.benchmarks.programs.inputs import QUICK_EPOCHS, parameters, prepare, work_folder
from lab.benchmarks.programs.plan import Plan

DEPTHS = ("fc", "layer4", "full")
OURS, FEATURES = "ours", "features"
CONTENDERS = {
    "tutorial": "torchvision",
    "with_fastai": "fastai",
    "with_lightning": "lightning",
}  # what each is made with
EPOCHS = {"fc": 4, "layer4": 4, "full": 6}  # of the alternatives: the tutorial then ends about where ours does


def run(project: Path, folder: Path, plan: Plan, depths: tuple[str, ...] = DEPTHS) -> None:
    table = Table(folder / "training.csv")
    contenders = [OURS, *installed()]
    for number in range(plan.runs):
        for image_size in plan.sizes:
            place = {"machine": describe(), "image_size": image_size, "run": number}
            steps = [(depth, contender) for depth in depths for contender in contenders]
            missing = [(d, c) for d, c in steps if not table.has(**place, depth=d, contender=c)]
            if missing:
                measure(table, project, plan.quick, place, missing)


def installed() -> list[str]:
    """The alternatives whose libraries are here; says which are not."""
    for contender, library in CONTENDERS.items():
        if not find_spec(library):
            print(f"{contender}: left out, without {library} (requirements/bench.txt)", flush=True)
    return [contender for contender, library in CONTENDERS.items() if find_spec(library)]


def measure(table: Table, project: Path, quick: bool, place: dict[str, Any], steps: list[tuple[str, str]]) -> None:
    image_size, number = place["image_size"], place["run"]
    root = work_folder(project, f"training-{image_size}-{number}")
    params = parameters(project, quick, image_size, seed=number)
    epochs = QUICK_EPOCHS if quick else EPOCHS
    shutil.rmtree(root, ignore_errors=True)  # of a start that was stopped
    prepare(project, root, quick)
    for depth, contender in steps:
        if contender == OURS and not (root / "data/features").exists():
            measure_features(table, root, params, place)
        shutil.rmtree(root / ".cache", ignore_errors=True)  # a training that was stopped would carry on
        print(f"training, {image_size} px, run {number + 1}, {depth}, {contender} ... ", end="", flush=True)
        start = time.perf_counter()
        row = columns(apart(contend, contender, root, params, depth, epochs[depth]))
        whole = time.perf_counter() - start
        print(f"{row['seconds']:.0f} s, test accuracy {row['test_accuracy']:.4f}", flush=True)
        table.add({**place, "depth": depth, "contender": contender, "whole_seconds": round(whole, 3), **row})
    shutil.rmtree(root)


def measure_features(table: Table, root: Path, params: dict[str, Any], place: dict[str, Any]) -> None:
    print(f"training, {place['image_size']} px, run {place['run'] + 1}, {FEATURES} ... ", end="", flush=True)
    start = time.perf_counter()
    seconds = apart(cache_features, root, params)
    whole = time.perf_counter() - start
    print(f"{seconds:.0f} s", flush=True)
    named = {**place, "depth": FEATURES, "contender": OURS}
    if not table.has(**named):
        empty = dict.fromkeys(("val_accuracy", "test_accuracy", "ece", "ece_scaled", "curve"))
        table.add({**named, "whole_seconds": round(whole, 3), "seconds": round(seconds, 3), **empty})


def cache_features(root: Path, params: dict[str, Any]) -> float:
    return import_module("lab.benchmarks.contenders.ours").cache_features(root, params)


def contend(contender: str, root: Path, params: dict[str, Any], depth: str, epochs: int) -> Outcome:
    """In the child: only there is the contender's library imported."""
    return import_module(f"lab.benchmarks.contenders.{contender}").train(root, params, depth, epochs)
