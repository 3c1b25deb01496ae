"""Export the published variant with its temperature to ONNX, and check the file against torch on every test image.

Reads models/{freeze}.safetensors, data/subset and the temperature in results/calibration/{freeze}.json. Writes
models/model.onnx (uint8 images (N, H, W, 3) in; calibrated probabilities and logits (N, C) out; what a user of the
file needs to know in its metadata) and results/export.json (parity figures).
Params: freeze.
"""

import json
from hashlib import sha256
from pathlib import Path

from stages.common.datasets import load_split
from stages.common.onnx_graph import parity, to_onnx
from stages.common.params import parse
from stages.common.saved import load_classifier
from stages.common.stage import main
from stages.common.variants import Variant


def run(params: dict, root: Path) -> None:
    freeze = parse(params, "freeze", Variant)
    checkpoint = root / f"models/{freeze}.safetensors"
    model = load_classifier(checkpoint)
    temperature = json.loads((root / f"results/calibration/{freeze}.json").read_text())["temperature"]
    images, _ = load_split(root, "test")

    metadata = {
        "classes": json.dumps(model.config["classes"]),
        "image_size": str(images.shape[1]),
        "temperature": repr(temperature),
        "variant": freeze,
        "checkpoint_sha256": sha256(checkpoint.read_bytes()).hexdigest(),
    }
    graph = to_onnx(model, temperature, images.shape[1:3], metadata)
    figures = {"variant": freeze, **parity(graph, model, temperature, images), "file_bytes": len(graph)}

    (root / "models/model.onnx").write_bytes(graph)
    (root / "results/export.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(
        f"models/model.onnx: {freeze}, {len(graph) / 1e6:.1f} MB; differs from torch by at most "
        f"{figures['max_logit_difference']:.1e} in a logit and {figures['max_probability_difference']:.1e} in a "
        f"probability, on {len(images)} images"
    )


if __name__ == "__main__":
    main(run)
