import hashlib
import io
import re
import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from study.networks.backbones import BackboneName
from study.networks.classifier import Classifier, Head, load_backbone
from study.pipeline.params import Refusal, parse
from study.pipeline.torchvision_shim import torchvision
from study.sources import backbone_weights as module
from study.sources.backbone_weights import BUNDLED, BUNDLED_SHA256, Weights, backbone_weights, imagenet, rescaled

PROJECT = Path(__file__).parents[2]
RESNET18 = set(torchvision.models.resnet18(weights=None).state_dict()) - {"fc.weight", "fc.bias"}


def _fits_the_classifier(state, folder):
    save_file(state, folder / "resnet18.safetensors")
    load_backbone(Classifier(Head(hidden=[], dropout=0.0), ["a", "b"], 32), folder / "resnet18.safetensors")
    return set(state) == RESNET18


def test_the_bundled_file_is_the_one_its_readme_describes():
    assert hashlib.sha256((PROJECT / BUNDLED).read_bytes()).hexdigest() == BUNDLED_SHA256
    assert BUNDLED_SHA256 in (PROJECT / BUNDLED.parent / "README.md").read_text()


def test_tinyimagenet_is_a_resnet18_without_head_in_half_precision(tmp_path):
    state = backbone_weights("resnet18", "tinyimagenet", PROJECT)
    assert _fits_the_classifier(state, tmp_path)
    assert state["conv1.weight"].dtype == torch.float16


def test_a_damaged_bundled_file_is_refused(tmp_path):
    (tmp_path / "weights").mkdir()
    shutil.copy(PROJECT / BUNDLED, tmp_path / BUNDLED)
    with (tmp_path / BUNDLED).open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"?")
    with pytest.raises(Refusal, match=r"resnet18_tinyimagenet\.safetensors is damaged"):
        backbone_weights("resnet18", "tinyimagenet", tmp_path)


def test_none_is_random_but_the_same_each_time_and_leaves_torchs_generator_alone(tmp_path):
    torch.manual_seed(7)
    first = backbone_weights("resnet18", "none", tmp_path)
    drawn = torch.rand(1)
    second = backbone_weights("resnet18", "none", tmp_path)
    assert _fits_the_classifier(first, tmp_path)
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


def test_imagenet_is_downloaded_without_its_head(published, file_server, tmp_path, monkeypatch):
    name, content = published
    file_server.files[name] = content
    serve(monkeypatch, file_server.address + name, tmp_path)
    assert _fits_the_classifier(backbone_weights("resnet18", "imagenet", tmp_path), tmp_path)


def test_imagenet_weights_with_the_wrong_hash_are_refused(published, file_server, tmp_path, monkeypatch):
    name, content = published
    file_server.files[name] = content[:-1] + b"?"
    serve(monkeypatch, file_server.address + name, tmp_path)
    with pytest.raises(Refusal, match=r"resnet18-.*\.pth cannot be downloaded \(invalid hash value"):
        backbone_weights("resnet18", "imagenet", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_imagenet_without_network_is_refused_in_one_line_with_the_way_out(
    dead_address, file_server, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    file_server.silent = True
    for address in (dead_address, file_server.address):
        serve(monkeypatch, f"{address}/resnet18-00000000.pth", tmp_path)
        with pytest.raises(Refusal, match=r"-S backbone\.weights=tinyimagenet") as refusal:
            backbone_weights("resnet18", "imagenet", tmp_path)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", get_args(BackboneName))
def test_the_entry_is_torchvisions_own_with_a_hash_in_its_name(name):
    url = imagenet(name).url
    assert re.fullmatch(rf"https://download\.pytorch\.org/models/{name}-[0-9a-f]{{8}}\.pth", url)


@pytest.mark.parametrize("name", get_args(BackboneName))
def test_random_weights_rescaled_on_images_keep_their_signals_alive(name, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MEASURED", 32)
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8).repeat(4, 1).repeat(4, 2)
    state = backbone_weights(name, "none", tmp_path)
    torch.manual_seed(7)
    after = rescaled(name, state, images)
    drawn = torch.rand(1)
    save_file(after, tmp_path / "weights.safetensors")
    model = Classifier(Head(hidden=[], dropout=0.0), ["a", "b"], 64, name)
    load_backbone(model, tmp_path / "weights.safetensors")
    with torch.inference_mode():
        features = model.eval().tail(model.trunk(model.preprocess(torch.from_numpy(images[:32]))))
    assert 0.1 < features.std(0).mean() < 10
    assert {key for key in state if not torch.equal(state[key], after[key])} == {
        key for key in state if key.endswith("running_var")
    }
    torch.manual_seed(7)
    assert torch.equal(drawn, torch.rand(1))


@pytest.mark.parametrize("name", ["resnet34", "mobilenet_v2"])
def test_other_backbones_start_from_none_without_their_classifier(name, tmp_path):
    state = backbone_weights(name, "none", tmp_path)
    save_file(state, tmp_path / "weights.safetensors")
    load_backbone(Classifier(Head(hidden=[], dropout=0.0), ["a", "b"], 32, name), tmp_path / "weights.safetensors")


def test_the_bundled_weights_are_refused_for_a_backbone_that_they_are_not_of(tmp_path):
    with pytest.raises(Refusal, match="tinyimagenet fits resnet18 only"):
        backbone_weights("resnet50", "tinyimagenet", tmp_path)


def test_other_weights_are_refused():
    with pytest.raises(Refusal, match="'tinyimagenet', 'imagenet' or 'none'"):
        parse({"backbone": {"weights": "resnet50"}}, "backbone.weights", Weights)
