"""Export the published variant with its temperature to ONNX, and check the file against torch on every test image.

Reads models/{freeze}.safetensors, data/subset/test.npz, results/temperature/{freeze}.json,
results/conformal/{freeze}/scores.npy and results/ood/{freeze}/thresholds.json. Writes models/model.onnx (from uint8
images (N, H, W, 3) to calibrated probabilities and logits (N, C); its metadata has classes, image size, mirror,
temperature, the scores that thresholds of prediction sets are taken from, as base64 of float64, and the least energy of
what is like the training images)
and results/export.json (differences from torch).
Params: freeze, mirror.
"""

import json
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from study.data.splits import load_split
from study.evaluation.temperature import load_temperature
from study.networks.classifier import model_path
from study.networks.loading import load_model
from study.pipeline.files import read_json, write_json
from study.pipeline.params import parse
from study.pipeline.stage import main
from study.publishing.onnx_graph import parity, to_onnx


def run(params: dict[str, Any], root: Path) -> None:
    freeze, mirror = parse(params, "freeze", str), parse(params, "mirror", bool)
    model = load_model(root, freeze, mirror)
    temperature = load_temperature(root, freeze)
    images, labels = load_split(root, "test").examples
    scores = np.load(root / "results/conformal" / freeze / "scores.npy")
    unlike = read_json(root / "results/ood" / freeze / "thresholds.json")

    metadata = {
        "classes": json.dumps(model.config["classes"]),
        "image_size": str(images.shape[1]),
        "mirror": json.dumps(mirror),
        "temperature": repr(temperature),
        "set_scores": b64encode(scores.astype("<f8").tobytes()).decode(),
        "least_energy": repr(unlike["energy"]["threshold"]),
        "variant": freeze,
        "checkpoint_sha256": sha256(model_path(root, freeze).read_bytes()).hexdigest(),
    }
    graph = to_onnx(model, temperature, images.shape[1:3], metadata)
    figures = {"variant": freeze, **parity(graph, model, temperature, images, labels), "file_bytes": len(graph)}

    (root / "models/model.onnx").write_bytes(graph)
    write_json(root / "results/export.json", figures)
    print(
        f"models/model.onnx: {freeze}, {len(graph) / 1e6:.1f} MB; differs from torch by at most "
        f"{figures['max_logit_difference']:.1e} in a logit and {figures['max_probability_difference']:.1e} in a "
        f"probability, on {len(images)} images"
    )


if __name__ == "__main__":
    main(run)
