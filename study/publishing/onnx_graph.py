"""The published model as one ONNX graph, from uint8 images to calibrated probabilities and logits."""

import warnings
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import onnx
import onnxruntime
import torch
from scipy.special import softmax
from torch import Tensor, nn

from study.networks.classifier import Classifier

LOGIT_TOLERANCE = 1e-3  # largest difference from torch in float32; rounding alone gave 1e-4 in a network of 50 layers
PROBABILITY_TOLERANCE = 1e-4


class Calibrated(nn.Module):
    """Map images, uint8 (N, H, W, 3), to probabilities and logits, each float32 (N, C)."""

    def __init__(self, model: Classifier, temperature: float) -> None:
        super().__init__()
        self.model = model
        self.temperature = temperature

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.model(images)
        return torch.softmax(logits / self.temperature, dim=1), logits


def to_onnx(model: Classifier, temperature: float, size: tuple[int, int], metadata: Mapping[str, str]) -> bytes:
    """The graph, for any number of images of this height and width, with `metadata` in its properties.

    The same arguments give the same bytes.
    """
    network = Calibrated(model.cpu(), temperature).eval()
    images = torch.zeros(2, *size, 3, dtype=torch.uint8)
    with warnings.catch_warnings():
        # torch 2.13 uses objects that it has deprecated itself.
        warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")
        program = torch.onnx.export(
            network,
            (images,),
            input_names=["images"],
            output_names=["probabilities", "logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    proto = cast(torch.onnx.ONNXProgram, program).model_proto
    _forget_origin(proto.graph)
    onnx.helper.set_model_props(proto, dict(metadata))
    onnx.checker.check_model(proto, full_check=True)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def _forget_origin(graph: onnx.GraphProto) -> None:
    """Drop the exporter's notes, which hold stack traces with paths of the exporting machine."""
    for part in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer, graph):
        part.ClearField("metadata_props")


def parity(
    graph: bytes,
    model: Classifier,
    temperature: float,
    images: np.ndarray,
    labels: np.ndarray,
    batch_size: int = 250,
) -> dict[str, Any]:
    """Compare the graph in onnxruntime with `model` in torch, both in float32 on the CPU.

    images: uint8 (N, H, W, 3); labels: (N,), which the graph's accuracy is measured by. Torch's probabilities are
    softmax(logits / temperature) in float64.
    Raises RuntimeError, quoting the differences, when one exceeds its tolerance.
    """
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    model = model.cpu().eval()
    batches = [images[start : start + batch_size] for start in range(0, len(images), batch_size)]
    with torch.inference_mode():
        expected = np.concatenate([model(torch.from_numpy(batch)).numpy() for batch in batches])
    outputs = [session.run(["probabilities", "logits"], {"images": batch}) for batch in batches]
    probabilities, logits = (np.concatenate(output) for output in zip(*outputs, strict=True))
    logit_difference = float(np.abs(logits - expected).max())
    probability_difference = float(
        np.abs(probabilities - softmax(expected.astype(np.float64) / temperature, axis=1)).max()
    )
    if not (logit_difference <= LOGIT_TOLERANCE and probability_difference <= PROBABILITY_TOLERANCE):
        raise RuntimeError(
            f"the ONNX graph differs from torch by {logit_difference:.1e} in a logit and {probability_difference:.1e} "
            f"in a probability; {LOGIT_TOLERANCE:.0e} and {PROBABILITY_TOLERANCE:.0e} are allowed"
        )
    return {
        "images": len(images),
        "accuracy": float((logits.argmax(axis=1) == labels).mean()),
        "max_logit_difference": logit_difference,
        "max_probability_difference": probability_difference,
        "agreement": float((logits.argmax(axis=1) == expected.argmax(axis=1)).mean()),
    }
