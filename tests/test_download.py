import numpy as np
import pytest
from safetensors.torch import load_file

from stages import download
from stages.common.datasets import Raw, load_raw
from stages.common.params import Refusal

PARAMS = {"data": {"dataset": "digits"}, "backbone": {"name": "resnet18", "weights": "none"}}


def test_download_writes_digits_and_backbone_in_the_documented_layout(tmp_path):
    download.run(PARAMS, tmp_path)
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert files == [
        "data/backbone/weights.safetensors",
        "data/raw/classes.json",
        "data/raw/test_images.npy",
        "data/raw/test_labels.npy",
        "data/raw/train_images.npy",
        "data/raw/train_labels.npy",
    ]
    raw = load_raw(tmp_path)
    assert raw.train_images.shape == (1437, 32, 32, 3) and raw.test_labels.shape == (360,)
    assert not any(name.startswith("fc.") for name in load_file(tmp_path / "data/backbone/weights.safetensors"))


def test_download_gives_the_same_bytes_each_time(tmp_path):
    for name in ("once", "again"):
        download.run(PARAMS, tmp_path / name)
    for path in (tmp_path / "once").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(tmp_path / "once")).read_bytes(), path


def test_cifar10_replaces_digits_and_where_it_came_from_is_not_recorded(tmp_path, monkeypatch):
    download.run(PARAMS, tmp_path)
    images, labels = np.zeros((20, 32, 32, 3), np.uint8), np.arange(20) % 10
    monkeypatch.setenv("CIFAR10_DIR", "/some/secret/place")
    monkeypatch.setattr(download, "load", lambda dataset, root: Raw(images, labels, images, labels, ["airplane"]))
    download.run(PARAMS | {"data": {"dataset": "cifar10"}}, tmp_path)
    assert load_raw(tmp_path).classes == ["airplane"]
    assert not any(b"secret" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_refused_download_leaves_no_output(tmp_path, monkeypatch):
    monkeypatch.setenv("CIFAR10_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(Refusal, match="nowhere"):
        download.run(PARAMS | {"data": {"dataset": "cifar10"}}, tmp_path)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("block", "key", "value"),
    [("data", "dataset", "mnist"), ("backbone", "name", "vgg16"), ("backbone", "weights", "clip")],
)
def test_an_unknown_name_is_refused_before_anything_is_fetched(tmp_path, monkeypatch, block, key, value):
    monkeypatch.setattr(download, "load", lambda *args: pytest.fail("fetched"))
    with pytest.raises(Refusal, match=f"{block}.{key} = '{value}'"):
        download.run(PARAMS | {block: PARAMS[block] | {key: value}}, tmp_path)
