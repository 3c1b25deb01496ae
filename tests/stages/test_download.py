import numpy as np
import pytest

from stages import download
from study.data.splits import Raw, load_raw
from study.pipeline.params import Refusal
from study.sources import cifar10, digits

PARAMS = {"data": {"dataset": "digits", "path": "pictures", "side": 64}}


def written(root, **data):
    """What stage `download` leaves: {file below data: its bytes}."""
    download.run({"data": PARAMS["data"] | data}, root)
    return {path.relative_to(root / "data").as_posix(): path.read_bytes() for path in (root / "data").rglob("*.*")}


def test_download_writes_the_digits_in_the_documented_layout(tmp_path):
    assert sorted(written(tmp_path)) == [
        "raw/classes.json",
        "raw/test_images.npy",
        "raw/test_labels.npy",
        "raw/train_images.npy",
        "raw/train_labels.npy",
    ]
    raw = load_raw(tmp_path)
    assert raw.train_images.shape == (1437, 32, 32, 3) and raw.test_labels.shape == (360,)


def test_download_gives_the_same_bytes_each_time(tmp_path):
    assert written(tmp_path / "once") == written(tmp_path / "again")


@pytest.mark.parametrize("dataset", ["cifar10", "digits"])
@pytest.mark.parametrize("change", [{"path": "photos"}, {"side": 32}])
def test_the_path_and_the_side_are_of_a_folder_alone(tmp_path, monkeypatch, dataset, change):
    """tests.stand_in counts on it."""
    images, labels = np.zeros((20, 32, 32, 3), np.uint8), np.arange(20) % 10
    monkeypatch.setattr(cifar10, "load", lambda root: Raw(images, labels, images, labels, ["airplane"]))
    before = written(tmp_path, dataset=dataset)
    assert written(tmp_path, dataset=dataset, **change) == before


def test_cifar10_replaces_digits_and_where_it_came_from_is_not_recorded(tmp_path, monkeypatch):
    download.run(PARAMS, tmp_path)
    images, labels = np.zeros((20, 32, 32, 3), np.uint8), np.arange(20) % 10
    monkeypatch.setenv("CIFAR10_DIR", "/some/secret/place")
    monkeypatch.setattr(cifar10, "load", lambda root: Raw(images, labels, images, labels, ["airplane"]))
    files = written(tmp_path, dataset="cifar10")
    assert load_raw(tmp_path).classes == ["airplane"]
    assert not any(b"secret" in content for content in files.values())


def test_a_refused_download_leaves_no_output(tmp_path, monkeypatch):
    monkeypatch.setenv("CIFAR10_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(Refusal, match="nowhere"):
        download.run({"data": PARAMS["data"] | {"dataset": "cifar10"}}, tmp_path)
    assert not (tmp_path / "data").exists()


def test_an_unknown_dataset_is_refused_before_anything_is_fetched(tmp_path, monkeypatch):
    for source in (cifar10, digits):
        monkeypatch.setattr(source, "load", lambda *_: pytest.fail("fetched"))
    with pytest.raises(Refusal, match=r"data\.dataset = 'mnist'"):
        download.run({"data": PARAMS["data"] | {"dataset": "mnist"}}, tmp_path)
