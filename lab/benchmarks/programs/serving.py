"""What the published model costs to serve: models/model.onnx by onnxruntime, with 8 bits, and torch's eager mode.

Each way is a process of its own with the same threads, and times calls with 1, 8 and 64 images at a time, from pixels
to calibrated probabilities. Accuracy and calibration are of all test images.
Writes serving.csv, and serving_quality.csv.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from lab.benchmarks.measuring.machine import describe
from lab.benchmarks.measuring.process import apart
from lab.benchmarks.measuring.table import Table
from lab.benchmarks.programs.inputs import work_folder
from lab.benchmarks.programs.plan import Plan
from lab.benchmarks.programs.quantisation import quantise
from study.data.splits import load_split
from study.evaluation.scores import accuracy, ece
from study.networks.loading import load_classifier
from study.pipeline.params import Refusal
from study.publishing.onnx_graph import Calibrated

TORCH = "torch, eager"
BATCHES = (1, 8, 64)  # images in a call
SECONDS, QUICK_SECONDS = 3.0, 0.05  # that calls are repeated for
FEWEST = 10  # calls
RANGES = 500  # images that static quantisation takes its ranges from
BINS = 15

Probabilities = Callable[[np.ndarray], np.ndarray]


def run(project: Path, folder: Path, plan: Plan) -> None:
    """Raises Refusal when the published model is not there."""
    graph = project / "models/model.onnx"
    if not graph.exists():
        raise Refusal(f"{graph} is missing: run `dvc repro export` (or `dvc pull`) first")
    speed, quality = Table(folder / "serving.csv"), Table(folder / "serving_quality.csv")
    machine = describe()
    train = load_split(project, "train").images
    images = train[:: max(1, len(train) // RANGES)][:RANGES]
    ways = {TORCH: checkpoint(project, graph), "onnxruntime, float32": graph}
    ways |= quantise(graph, work_folder(project, "serving"), images)
    for number in range(plan.runs):
        for way, path in ways.items():
            if not speed.has(machine=machine, run=number, way=way):
                print(f"serving, run {number + 1}, {way} ... ", end="", flush=True)
                rows = apart(measure, project, graph, path, QUICK_SECONDS if plan.quick else SECONDS)
                print(", ".join(f"{row['batch']}: {row['median_ms']:.1f} ms" for row in rows), flush=True)
                for row in rows:
                    speed.add({"machine": machine, "run": number, "way": way, **row})
    for way, path in ways.items():
        if not quality.has(machine=machine, way=way):
            print(f"serving, {way}: accuracy", flush=True)
            row = apart(judge, project, graph, path)
            quality.add({"machine": machine, "way": way, **row})


def checkpoint(project: Path, graph: Path) -> Path:
    return project / f"models/{metadata(graph)['variant']}.safetensors"


def metadata(graph: Path) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(graph).metadata_props}


def classifier(graph: Path, path: Path) -> Probabilities:
    """A function of uint8 images (N, H, W, 3): of torch where `path` is a checkpoint, else of onnxruntime."""
    if path.suffix == ".safetensors":
        exported = metadata(graph)
        model = load_classifier(path, exported.get("mirror") == "true")
        network = Calibrated(model, float(exported["temperature"])).eval()

        def by_torch(images: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                return network(torch.from_numpy(images))[0].numpy()

        return by_torch
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(["probabilities"], {"images": images})[0]


def measure(project: Path, graph: Path, path: Path, seconds: float) -> list[dict[str, Any]]:
    """A row for each batch: milliseconds of a call, median and 95th percentile, and images in a second."""
    classify = classifier(graph, path)
    images = load_split(project, "test").images
    rows = []
    for batch in BATCHES:
        classify(images[:batch])
        calls: list[float] = []
        while sum(calls) < seconds or len(calls) < FEWEST:
            start = time.perf_counter()
            classify(images[:batch])
            calls.append(time.perf_counter() - start)
        middle, slow = np.percentile(calls, [50, 95])
        rows.append(
            {
                "batch": batch,
                "median_ms": round(1000 * middle, 3),
                "p95_ms": round(1000 * slow, 3),
                "images_per_second": round(batch / middle, 1),
            }
        )
    return rows


def judge(project: Path, graph: Path, path: Path) -> dict[str, Any]:
    classify = classifier(graph, path)
    images, labels = load_split(project, "test").examples
    probabilities = np.concatenate([classify(images[start : start + 250]) for start in range(0, len(images), 250)])
    return {
        "images": len(labels),
        "accuracy": round(accuracy(probabilities, labels), 4),
        "ece": round(ece(probabilities, labels, BINS), 4),
        "megabytes": round(path.stat().st_size / 1e6, 1),
    }
