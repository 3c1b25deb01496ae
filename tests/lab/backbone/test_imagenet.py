import hashlib
import os
import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper
from PIL import Image
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_torch_file
from sklearn.datasets import load_sample_images
from torch import nn
from torch.nn import functional as F

from lab.backbone.imagenet import NETWORK, PREPROCESSING, converted, fold, main, read, run
from study.networks.stages import PIXEL_MEAN, PIXEL_STD, backbone_state, load_backbone
from study.networks.torchvision_backbones import untrained
from study.pipeline.params import Refusal
from study.pipeline.torchvision_shim import torchvision

ROOT = Path(__file__).parents[3]
BUNDLED = ROOT / "weights/resnet18_imagenet.safetensors"
README = (ROOT / "weights/README.md").read_text(encoding="utf-8")
ORIGINAL = Path(os.environ.get("IMAGENET_ONNX_DIR") or "not set")
CUT = "ReLU379_Output_0"  # in the original: what the second block of 512 channels puts out
INSIDE_PACKAGE = "tools/DnnImageModels/ResNet18Onnx"

with_original = pytest.mark.skipif(
    Path("not set") == ORIGINAL,
    reason=f"IMAGENET_ONNX_DIR is not set: it would be a folder with {NETWORK} and {PREPROCESSING}",
)


# Without the original


def normalised(unit: np.ndarray) -> torch.Tensor:
    mean, std = (np.reshape(values, (3, 1, 1)) for values in (PIXEL_MEAN, PIXEL_STD))
    return torch.from_numpy(((unit - mean) / std).astype(np.float32))


def answer(network: GraphProto, pixels: np.ndarray) -> torch.Tensor:
    """onnxruntime's, on pixels as the graph wants them."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors: it would name every tensor behind the cut
    model = helper.make_model(network, opset_imports=[helper.make_opsetid("", 8)], ir_version=4)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    pixels = np.ascontiguousarray(pixels, dtype=np.float32)
    return torch.from_numpy(session.run(None, {network.input[0].name: pixels})[0])


def made_up(nodes: list[NodeProto], tensors: dict[str, np.ndarray]) -> GraphProto:
    """A graph from `pixels` to `out`."""
    values = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in tensors.items()]
    pixels, out = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("pixels", "out"))
    return helper.make_graph(nodes, "made_up", [pixels], [out], values)


def test_the_folded_convolution_sees_in_rgb_what_the_original_sees_in_bgr() -> None:
    rng = np.random.default_rng(0)
    kernel, running_mean, mean = rng.normal(size=(8, 3, 7, 7)), rng.normal(0, 1000, 8), np.array([103.1, 115.9, 123.2])
    scale, shift, running_var = rng.normal(size=8), rng.normal(size=8), rng.uniform(1e3, 7e4, 8)
    rgb = rng.integers(0, 256, (2, 3, 24, 24)).astype(np.float32)
    nodes = [
        helper.make_node("Sub", ["pixels", "mean"], ["centred"]),
        helper.make_node("Conv", ["centred", "kernel"], ["mapped"], strides=[2, 2]),
        helper.make_node("BatchNormalization", ["mapped", "scale", "shift", "running_mean", "running_var"], ["out"]),
    ]
    tensors = {"mean": mean.reshape(1, 3, 1, 1), "kernel": kernel, "scale": scale, "shift": shift}
    tensors |= {"running_mean": running_mean, "running_var": running_var}
    expected = answer(made_up(nodes, tensors), rgb[:, ::-1])

    folded, folded_mean = map(torch.from_numpy, fold(kernel.astype(np.float32), running_mean, mean))
    mapped = F.conv2d(normalised(rgb / 255), folded, stride=2)
    statistics = (torch.tensor(values, dtype=torch.float32) for values in (running_var, scale, shift))
    torch.testing.assert_close(F.batch_norm(mapped, folded_mean, *statistics), expected, rtol=1e-4, atol=1e-4)


def test_shortcuts_stand_before_their_blocks_and_what_resnet18_lacks_is_left_out() -> None:
    nodes, tensors = [], {}
    for number in range(22):  # the original has two convolutions more than torchvision's twenty
        tensors[f"kernel{number}"] = np.full((1, 3, 1, 1), number)
        nodes.append(helper.make_node("Conv", ["x", f"kernel{number}"], ["y"]))
        statistics = [f"{part}{number}" for part in ("scale", "shift", "mean", "variance")]
        tensors |= {name: np.array([number + part / 10]) for part, name in enumerate(statistics)}
        nodes.append(helper.make_node("BatchNormalization", ["y", *statistics], ["z"]))

    state = converted(made_up(nodes, tensors), np.array([103.1, 115.9, 123.2]))

    assert state.keys() == {name for name in torchvision.models.resnet18().state_dict() if not name.startswith("fc.")}
    positions = {name: value.flat[0] for name, value in state.items() if value.ndim == 4 and name != "conv1.weight"}
    assert list(positions.values()) == list(range(1, 20))
    assert positions["layer1.0.conv1.weight"] == 1
    assert positions["layer1.1.conv2.weight"] == 4
    assert positions["layer2.0.downsample.0.weight"] == 5
    assert positions["layer2.0.conv1.weight"] == 6
    assert positions["layer4.1.conv2.weight"] == 19
    last = [state[f"layer4.1.bn2.{part}"].item() for part in ("weight", "bias", "running_mean", "running_var")]
    assert last == pytest.approx([19.0, 19.1, 19.2, 19.3])


def test_the_bundled_weights_are_those_that_their_readme_describes() -> None:
    content = BUNDLED.read_bytes()
    assert hashlib.sha256(content).hexdigest() in README
    assert f"{len(content):,} bytes" in README


def test_the_bundled_tensors_are_torchvisions_without_the_head() -> None:
    weights = load_file(BUNDLED)
    expected = torchvision.models.resnet18().state_dict()
    assert weights.keys() == {name for name in expected if not name.startswith("fc.")}
    assert weights["bn1.running_var"].max() > np.finfo(np.float16).max  # why batch norm has 32 bits
    for name, tensor in weights.items():
        assert tensor.shape == expected[name].shape
        assert tensor.dtype == (np.float16 if tensor.ndim == 4 else np.float32 if tensor.ndim else np.int64)
        assert np.isfinite(tensor).all()


def test_the_bundled_weights_load_as_a_backbone() -> None:
    stages = untrained("resnet18").stages
    load_backbone(stages, load_torch_file(BUNDLED))
    expected = torch.from_numpy(load_file(BUNDLED)["bn1.running_var"])
    torch.testing.assert_close(backbone_state(stages)["bn1.running_var"], expected, rtol=0, atol=0)


def package(path: Path, files: dict[str, bytes]) -> Path:
    with ZipFile(path, "w", ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("LICENSE", "any")
        for name, content in files.items():
            archive.writestr(f"{INSIDE_PACKAGE}/{name}", content)
    return path


def folder(path: Path, files: dict[str, bytes]) -> Path:
    path.mkdir()
    for name, content in files.items():
        (path / name).write_bytes(content)
    return path


def truncated(path: Path, files: dict[str, bytes]) -> Path:
    package(path, files).write_bytes(path.read_bytes()[:-30])
    return path


def text(path: Path, files: dict[str, bytes]) -> Path:
    path.write_text("no zip")
    return path


def nothing(path: Path, files: dict[str, bytes]) -> Path:
    return path


OTHERS = {NETWORK: b"another network", PREPROCESSING: b"another picture"}


@pytest.mark.parametrize(
    ("made", "files", "output", "complaint"),
    [
        (
            nothing,
            OTHERS,
            "a.safetensors",
            r"original is missing: ORIGINAL is Microsoft\.ML\S+ 0\.23\.1 \(\.nupkg\), or ",
        ),
        (folder, {NETWORK: b"any"}, "a.safetensors", r"ResNetPreprocess\.onnx is missing: ORIGINAL is "),
        (
            folder,
            OTHERS,
            "a.safetensors",
            r"original: ResNet18\.onnx is damaged or another version \(its sha256 is not e25",
        ),
        (package, {}, "a.safetensors", r"original holds no ResNet18\.onnx: ORIGINAL is "),
        (package, OTHERS, "a.safetensors", r"original: ResNet18\.onnx is damaged or another version"),
        (
            truncated,
            OTHERS,
            "a.safetensors",
            r"original cannot be read as a zip \(File is not a zip file\): ORIGINAL is ",
        ),
        (text, OTHERS, "a.safetensors", r"original cannot be read as a zip \(File is not a zip file\): ORIGINAL is "),
        (folder, OTHERS, "a.onnx", r"--output: \S+a\.onnx must end in \.safetensors$"),
    ],
)
def test_a_wrong_or_damaged_original_gets_one_line_and_nothing_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    made: Callable[[Path, dict[str, bytes]], Path],
    files: dict[str, bytes],
    output: str,
    complaint: str,
) -> None:
    original = made(tmp_path / "original", files)
    monkeypatch.setattr(sys, "argv", ["imagenet", str(original), "--output", str(tmp_path / "new" / output)])

    with pytest.raises(SystemExit) as ended:
        main()

    message = ended.value.code
    assert isinstance(message, str)  # which Python prints, and exits with 1
    assert re.match(f"imagenet: .*{complaint}", message)
    assert "\n" not in message
    assert not (tmp_path / "new").exists()


def test_a_write_that_fails_leaves_the_weights_that_were_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.backbone.imagenet.read", lambda original: (made_up([], {}), np.zeros(3)))
    monkeypatch.setattr("lab.backbone.imagenet.converted", lambda network, mean: {"new": np.zeros(1)})
    output = tmp_path / "a.safetensors"
    output.write_bytes(b"old")

    def full(path: Path, content: bytes) -> None:
        path.touch()
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk, pytest.raises(OSError, match="No space left"):
        disk.setattr(Path, "write_bytes", full)
        run(tmp_path, output)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.safetensors", b"old")]

    run(tmp_path, output)
    assert load_file(output).keys() == {"new"}
    assert list(tmp_path.iterdir()) == [output]


# With the original


@with_original
@pytest.mark.parametrize("made", [folder, package])
def test_the_original_gives_the_bundled_file_byte_for_byte(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], made: Callable[[Path, dict[str, bytes]], Path]
) -> None:
    original = made(tmp_path / "original", {name: (ORIGINAL / name).read_bytes() for name in (NETWORK, PREPROCESSING)})

    run(original, tmp_path / "a.safetensors")

    assert (tmp_path / "a.safetensors").read_bytes() == BUNDLED.read_bytes()
    assert hashlib.sha256(BUNDLED.read_bytes()).hexdigest() in capsys.readouterr().out


@with_original
def test_a_damaged_original_is_refused(tmp_path: Path) -> None:
    files = {name: (ORIGINAL / name).read_bytes() for name in (NETWORK, PREPROCESSING)}
    files[PREPROCESSING] = files[PREPROCESSING][:-1] + b"\0"
    with pytest.raises(Refusal, match=r"ResNetPreprocess\.onnx is damaged or another version"):
        read(folder(tmp_path / "original", files))


@cache
def pictures(side: int) -> np.ndarray:
    """A hundred square crops of scikit-learn's two photographs at this side: uint8 RGB, (100, 3, side, side)."""
    rng = np.random.default_rng(0)
    photographs = [Image.fromarray(picture) for picture in load_sample_images().images]
    crops = []
    for number in range(100):
        photograph = photographs[number % 2]
        cut = int(rng.integers(64, photograph.height))
        left, top = (int(rng.integers(0, whole - cut + 1)) for whole in photograph.size)
        crop = photograph.crop((left, top, left + cut, top + cut))
        crops.append(np.asarray(crop.resize((side, side), Image.Resampling.BILINEAR)))
    return np.stack(crops).transpose(0, 3, 1, 2)


@cache
def original() -> tuple[GraphProto, np.ndarray]:
    return read(ORIGINAL)


@cache
def original_features(side: int) -> torch.Tensor:
    """Of the original, with one mean for each channel: (100, 512)."""
    network, mean = original()
    return cut_features(network, pictures(side)[:, ::-1] - mean.reshape(3, 1, 1))


def cut_features(network: GraphProto, pixels: np.ndarray) -> torch.Tensor:
    """Pooled over the whole map at the cut, for pixels of any size."""
    last = next(number for number, node in enumerate(network.node) if CUT in node.output)
    (pixels_in,) = (value for value in network.input if value.name == network.node[0].input[0])
    given, maps = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in (pixels_in.name, CUT))
    cut = helper.make_graph(network.node[: last + 1], "cut", [given], [maps], network.initializer)
    return answer(cut, pixels).mean((2, 3))


class OriginalBorder(nn.Module):
    """The first convolution, with the original's mean colour around the picture, which is what its zeros stand for."""

    def __init__(self, convolution: nn.Conv2d, mean: np.ndarray) -> None:
        super().__init__()
        self.convolution = convolution
        self.convolution.padding = (0, 0)
        self.colour = normalised(mean[::-1].reshape(3, 1, 1) / 255)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.convolution(F.pad(pixels - self.colour, (3, 3, 3, 3)) + self.colour)


def our_features(side: int, state: dict[str, np.ndarray], border: np.ndarray | None = None) -> torch.Tensor:
    """Of torchvision's network with these weights. border: (3,), BGR in 0-255; None is the mean that it expects."""
    net = torchvision.models.resnet18()
    net.fc = nn.Identity()
    net.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in state.items()})
    if border is not None:
        net.conv1 = OriginalBorder(net.conv1, border)
    with torch.inference_mode():
        return net.eval()(normalised(pictures(side) / 255))


def difference(ours: torch.Tensor, theirs: torch.Tensor) -> tuple[float, float]:
    """Mean and greatest."""
    distance = (ours - theirs).abs()
    return distance.mean().item(), distance.max().item()


def quoted(side: int) -> list[list[float]]:
    """The row of this side in the README: the features' mean, then pairs of mean and greatest difference."""
    (row,) = re.findall(rf"^\| {side} px \| (.*) \|$", README, re.MULTILINE)
    return [[float(number) for number in cell.split(" / ")] for cell in row.split(" | ")]


SIDES = [96, 128, pytest.param(224, marks=pytest.mark.slow)]
ROUNDED = [pytest.approx(0, abs=6e-5), pytest.approx(0, abs=6e-4)]  # to four and to three decimals


def gap(measured: tuple[float, float], said: list[float]) -> list[float]:
    return [one - other for one, other in zip(measured, said, strict=True)]


@with_original
@pytest.mark.parametrize("side", SIDES)
def test_the_features_are_the_original_s_but_for_what_the_readme_says(side: int) -> None:
    theirs = original_features(side)
    mean, greatest = difference(our_features(side, load_file(BUNDLED)), theirs)

    assert mean <= 0.002
    assert greatest <= 0.05
    (average,), bundled, *_ = quoted(side)
    assert theirs.mean().item() == pytest.approx(average, abs=6e-3)
    assert gap((mean, greatest), bundled) == ROUNDED


@with_original
@pytest.mark.parametrize("side", SIDES)
def test_float16_and_the_border_s_colour_are_all_that_differs(side: int) -> None:
    network, mean = original()
    state = converted(network, mean)
    theirs = original_features(side)

    *_, float16, border = quoted(side)
    assert gap(difference(our_features(side, load_file(BUNDLED), border=mean), theirs), float16) == ROUNDED
    assert gap(difference(our_features(side, state), theirs), border) == ROUNDED
    _, greatest = difference(our_features(side, state, border=mean), theirs)
    assert greatest < 1e-4  # sums in another order; the README says so


@with_original
@pytest.mark.slow
def test_the_mean_picture_differs_by_what_the_readme_says() -> None:
    network, _ = original()
    (mean_picture,) = map(numpy_helper.to_array, onnx.load(ORIGINAL / PREPROCESSING).graph.initializer)
    theirs = cut_features(network, pictures(224)[:, ::-1] - mean_picture)

    mean, greatest = difference(our_features(224, load_file(BUNDLED)), theirs)

    assert f"{mean:.3f} on average and {greatest:.1f} at most".removeprefix("0") in README
