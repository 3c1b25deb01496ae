import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from stages import backbone
from study.data.splits import Facts, Raw, save_raw
from study.pipeline.params import Refusal
from study.pipeline.torchvision_shim import torchvision
from study.sources.backbone_weights import BUNDLED, backbone_weights

ROOT = Path(__file__).parents[2]
WRITTEN = "data/backbone/weights.safetensors"


def with_block(name="resnet18", weights="none"):
    return {"backbone": {"name": name, "weights": weights, "path": "mine.pth"}}


@pytest.fixture
def root(tmp_path, images):
    """A project with forty raw images and the bundled weights."""
    save_images(tmp_path, images)
    shutil.copytree(ROOT / "weights", tmp_path / "weights")
    return tmp_path


def save_images(root, images):
    (root / "data/raw").mkdir(parents=True, exist_ok=True)
    labels = np.arange(len(images)) % 10
    facts = Facts("made up", [f"class {label}" for label in range(10)], mirrors=True)
    save_raw(Raw.without_val((images, labels), (images[:0], labels[:0]), facts), root / "data/raw")


def written(root, **block):
    backbone.run(with_block(**block), root)
    return (root / WRITTEN).read_bytes()


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "efficientnet_lite0", "timm/mobilenetv3_small_050"])
def test_the_weights_name_their_backbone_and_have_no_classifier(root, name):
    backbone.run(with_block(name), root)
    with safe_open(root / WRITTEN, "pt") as file:
        assert file.metadata() == {"backbone": name}
        assert len(file.keys()) > 50
        assert not any(key.startswith(("fc.", "classifier.")) for key in file.keys())  # noqa: SIM118  it is no dict
    assert [path.name for path in (root / "data/backbone").iterdir()] == ["weights.safetensors"]


@pytest.mark.parametrize("weights", BUNDLED)
def test_the_bundled_weights_are_written_as_they_are(root, weights):
    backbone.run(with_block(weights=weights), root)
    expected, found = backbone_weights("resnet18", weights, root), load_file(root / WRITTEN)
    assert found.keys() == expected.keys()
    assert all(tensor.equal(expected[key]) for key, tensor in found.items())


def test_google_s_weights_are_written_under_timm_s_names(root):
    backbone.run(with_block("efficientnet_lite0", "imagenet"), root)
    expected, found = backbone_weights("efficientnet_lite0", "imagenet", root), load_file(root / WRITTEN)
    assert found.keys() == expected.keys()
    assert found["conv_stem.weight"].equal(expected["conv_stem.weight"])


@pytest.mark.parametrize(("weights", "reads"), [("tinyimagenet", False), ("none", True)])
def test_only_random_weights_depend_on_the_images(root, images, weights, reads):
    """tests.stand_in counts on it."""
    before = written(root, weights=weights)
    assert written(root, weights=weights) == before
    save_images(root, images // 2)
    assert (written(root, weights=weights) != before) == reads


def test_damaged_weights_are_refused_and_the_old_ones_stay(root):
    before = written(root)
    (root / BUNDLED["tinyimagenet"][0]).write_bytes(b"damaged")
    with pytest.raises(Refusal, match="is missing or damaged"):
        backbone.run(with_block(weights="tinyimagenet"), root)
    assert (root / WRITTEN).read_bytes() == before


@pytest.mark.parametrize(("key", "value"), [("name", "vgg16"), ("weights", "clip")])
def test_an_unknown_name_is_refused_before_anything_is_fetched(tmp_path, monkeypatch, key, value):
    monkeypatch.setattr(backbone, "backbone_weights", lambda *_: pytest.fail("fetched"))
    with pytest.raises(Refusal, match=rf"backbone\.{key} = '{value}'"):
        backbone.run(with_block(**{key: value}), tmp_path)
    assert not (tmp_path / "data").exists()


def test_a_person_s_own_file_is_taken_and_another_content_gives_another_backbone(root):
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        torch.save({"state_dict": torchvision.models.resnet18().state_dict()}, root / "mine.pth")
        found.append(written(root, weights="file"))
    assert found[0] != found[1]


def test_a_bad_file_is_refused_and_nothing_is_written(root):
    (root / "mine.pth").write_bytes(b"damaged")
    with pytest.raises(Refusal, match=r"backbone\.path = .*mine\.pth: torch cannot read it as plain tensors"):
        backbone.run(with_block(weights="file"), root)
    assert not (root / "data/backbone").exists()
