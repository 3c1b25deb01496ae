"""How time and memory grow with the number of images and with the resolution.

`features` (of one view), an epoch of `train_layer4` and one of `train_full`, each a process of its own: the stages
themselves, with their own clocks. 20 images to validate and to test on, so that training alone is measured.
Writes growth.csv.
"""

import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from lab.benchmarks.measuring.machine import describe
from lab.benchmarks.measuring.memory import watched
from lab.benchmarks.measuring.process import apart
from lab.benchmarks.measuring.table import Table
from lab.benchmarks.programs.inputs import parameters, raw_images, work_folder, write_root
from lab.benchmarks.programs.plan import Plan
from study.data.splits import Split, SplitName
from study.pipeline.files import read_json
from study.pipeline.stage import keep_freed_memory

PARTS = ("features", "layer4", "full")
IMAGE_COUNTS = (1000, 2000, 5000, 10_000, 20_000, 50_000)
SMALLEST = 32  # pixels a side, at which the images grow
IMAGE_SIZES = (32, 64, 96, 128, 224)
FEWEST = 1000  # images, at which the resolution grows
QUICK = ((100, 32), (200, 32), (100, 64))
JUDGED = 20  # images of val and of test


def run(project: Path, folder: Path, plan: Plan) -> None:
    table = Table(folder / "growth.csv")
    machine = describe()
    for number in range(plan.runs):
        for images, image_size in points(plan.quick):
            place = {"machine": machine, "images": images, "image_size": image_size, "run": number}
            missing = [part for part in PARTS if not table.has(**place, part=part)]
            if missing:
                measure(table, project, plan.quick, place, missing)


def points(quick: bool) -> tuple[tuple[int, int], ...]:
    """(images, pixels a side), without repeats."""
    grid = (*((images, SMALLEST) for images in IMAGE_COUNTS), *((FEWEST, side) for side in IMAGE_SIZES))
    return QUICK if quick else tuple(dict.fromkeys(grid))


def measure(table: Table, project: Path, quick: bool, place: dict[str, Any], parts: list[str]) -> None:
    images, image_size = place["images"], place["image_size"]
    root = work_folder(project, f"growth-{images}-{image_size}")
    shutil.rmtree(root, ignore_errors=True)
    prepare_images(project, root, quick, images)
    params = parameters(project, quick, image_size, seed=0)
    params["train"]["common"]["views"] = 1
    for depth in ("layer4", "full"):
        params["train"][depth]["first_image_size"] = None
    for recipe in (params["train"]["common"]["probe"], params["train"]["layer4"], params["train"]["full"]):
        recipe["epochs"] = 1
    for part in PARTS:  # the others need the features, whether or not those are in the table
        if part in parts or part == "features":
            print(f"growth, {images:,} images, {image_size} px, {part} ... ", end="", flush=True)
            row = apart(measure_part, root, params, part)
            print(f"{row['seconds']:.1f} s", flush=True)
            if part in parts:
                table.add({**place, "part": part, **row})
    shutil.rmtree(root)


def prepare_images(project: Path, root: Path, quick: bool, images: int) -> None:
    raw = raw_images(project, quick)
    splits: dict[SplitName, Split] = {}
    for place, name in enumerate(("selection", "calibration", "test")):
        rows = slice(place * JUDGED, (place + 1) * JUDGED)
        splits[name] = split(raw.test_images[rows], raw.test_labels[rows])
    splits["train"] = split(raw.train_images[:images], raw.train_labels[:images])
    write_root(project, root, splits, raw.facts)


def split(images: np.ndarray, labels: np.ndarray) -> Split:
    return Split(images, labels, np.arange(len(labels)))


def measure_part(root: Path, params: dict[str, Any], part: str) -> dict[str, Any]:
    """In the child. Seconds of `features`, or of the last epoch; megabytes of its own at the highest."""
    keep_freed_memory()
    stage = import_module("stages.features" if part == "features" else f"stages.train_{part}")
    with watched() as peak:
        stage.run(params, root)
    if part == "features":
        seconds = read_json(root / "results/training/features.json")["seconds"]
    else:
        seconds = read_json(root / f"results/training/{part}/cost.json")["epoch_seconds"][-1]
    return {
        "seconds": round(seconds, 3),
        "own_mb": round(peak.own / 2**20, 1) if peak.own else None,
    }
