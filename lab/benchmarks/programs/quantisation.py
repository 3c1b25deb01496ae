"""The exported graph with weights and activations of 8 bits, by onnxruntime's own tools.

https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html: static quantisation with QDQ nodes, by
channel, its ranges from images that are trained on (dynamic quantisation suits transformers, and is measured too). On
an x86 processor without VNNI, 7 bits of weight (`reduce_range`) keep sums of products from saturating.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

OPERATORS = ["Conv", "Gemm", "MatMul"]
BATCH = 50  # images


class Ranges(CalibrationDataReader):
    def __init__(self, images: np.ndarray) -> None:
        """images: uint8 (N, H, W, 3)."""
        self._batches: Iterator[np.ndarray] = iter(
            images[start : start + BATCH] for start in range(0, len(images), BATCH)
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"images": batch}


def quantise(graph: Path, folder: Path, images: np.ndarray) -> dict[str, Path]:
    """Write the graph's variants of 8 bits into `folder`. Returns their paths by name."""
    folder.mkdir(parents=True, exist_ok=True)
    prepared, dynamic, static = (folder / f"{name}.onnx" for name in ("prepared", "dynamic", "static"))
    quant_pre_process(graph, prepared, skip_symbolic_shape=True)
    _forget_shapes(prepared)
    quantize_dynamic(prepared, dynamic, op_types_to_quantize=OPERATORS, weight_type=QuantType.QUInt8)
    quantize_static(
        prepared,
        static,
        Ranges(images),
        op_types_to_quantize=OPERATORS,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=not torch.cpu._is_vnni_supported(),
    )
    return {"onnxruntime, int8 dynamic": dynamic, "onnxruntime, int8 static": static}


def _forget_shapes(path: Path) -> None:
    """Drop the shapes noted in the graph: quantize_dynamic transposes weights, and then finds that those differ."""
    proto = onnx.load(path)
    proto.graph.ClearField("value_info")
    onnx.save(proto, path)
