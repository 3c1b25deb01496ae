import hashlib
import pickle
from typing import get_args

import numpy as np
import pytest

from study.pipeline.params import Refusal, parse
from study.sources.cifar100 import CIFAR100, CLASSES
from study.sources.datasets import PUBLISHED, Dataset, PublishedName
from study.sources.stratified_draw import Data

SPLITS = {"train": 400, "test": 100}  # images of the small archive


def test_every_name_but_folder_is_of_a_published_dataset():
    assert list(PUBLISHED) == list(get_args(PublishedName))
    assert get_args(Dataset) == (*PUBLISHED, "folder")


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_dataset_says_what_it_holds(name):
    published = PUBLISHED[name]
    assert len(set(published.facts.classes)) == len(published.facts.classes) >= 10
    assert published.facts.mirrors == (name != "digits")
    assert Data(dataset=name, path=".", side=200, train=200, val=100, test=100, seed=0).picture_side() == 32


def test_a_folder_s_pictures_have_the_side_that_is_asked_for():
    assert Data(dataset="folder", path=".", side=200, train=200, val=100, test=100, seed=0).picture_side() == 200


def test_cifar100_has_a_hundred_classes_in_the_order_of_the_alphabet():
    assert len(CLASSES) == 100 and sorted(CLASSES) == CLASSES


def test_every_class_of_cifar100_needs_an_image():
    data = {"dataset": "cifar100", "path": ".", "side": 64, "train": 99, "val": 200, "test": 100, "seed": 0}
    with pytest.raises(Refusal, match=r"data\.train = 99: cifar100 has 100 classes, and each needs an image"):
        parse({"data": data}, "data", Data)


@pytest.fixture
def official(tmp_path, monkeypatch):
    """A folder in CIFAR-100's layout, whose md5s stand in for the official ones."""
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    rng, sums = np.random.default_rng(0), {}
    for name, count in SPLITS.items():
        labels = np.arange(count) % 100
        content = {"data": rng.integers(0, 256, (count, 3072), np.uint8), "fine_labels": labels.tolist()}
        (folder / name).write_bytes(pickle.dumps(content | {"coarse_labels": (labels // 5).tolist()}))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": CLASSES}))
    for path in folder.iterdir():
        sums[path.name] = hashlib.md5(path.read_bytes()).hexdigest()
    kind = CIFAR100.published
    monkeypatch.setattr(kind, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(kind, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": sums["meta"]})
    return tmp_path


def test_cifar100_is_read_as_cifar10_is_from_a_folder_of_its_own_variable(official, tmp_path, monkeypatch):
    monkeypatch.setenv("CIFAR100_DIR", str(official))
    raw = PUBLISHED["cifar100"].load(tmp_path)
    assert raw.facts == ("CIFAR-100", CLASSES, True)
    assert raw.train_images.shape == (400, 32, 32, 3) and raw.test_images.shape == (100, 32, 32, 3)
    np.testing.assert_array_equal(raw.train_labels, np.arange(400) % 100)  # the fine ones


def test_a_damaged_file_of_cifar100_is_refused_with_the_way_out(official, tmp_path, monkeypatch):
    monkeypatch.setenv("CIFAR100_DIR", str(official))
    (official / "cifar-100-python/test").write_bytes(b"cut short")
    with pytest.raises(Refusal, match=r"test is damaged .* set CIFAR100_DIR to a folder that holds cifar-100-python/"):
        PUBLISHED["cifar100"].load(tmp_path)
