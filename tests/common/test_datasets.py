import subprocess
import sys

import numpy as np
import pytest

from stages.common.datasets import (
    Data,
    Raw,
    Split,
    class_names,
    load_raw,
    load_split,
    save_classes,
    save_raw,
    save_split,
)
from stages.common.params import Refusal, parse

DATA = {"dataset": "cifar10", "path": "pictures", "side": 64, "train": 45_000, "val": 5_000, "test": 10_000, "seed": 0}


def test_data_may_ask_for_every_image():
    assert parse({"data": DATA}, "data", Data).train == 45_000
    digits = DATA | {"dataset": "digits", "train": 1_200, "val": 237, "test": 360}
    assert parse({"data": digits}, "data", Data).dataset == "digits"


def test_a_folder_may_have_any_number_of_images_as_far_as_is_known_here():
    folder = DATA | {"dataset": "folder", "train": 10**6, "val": 2, "test": 2}
    assert parse({"data": folder}, "data", Data).train == 10**6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"train": 55_000},
            "params.yaml: data.val = 5000: data.train + data.val = 60000: cifar10 has 50000 training images",
        ),
        ({"test": 10_001}, "params.yaml: data.test = 10001: cifar10 has 10000 test images"),
        ({"dataset": "folder", "train": 10**9}, "data.train = 1000000000: input should be less than or equal to"),
        ({"path": 5000 * "a"}, "string should have at most 4096 characters"),
        ({"dataset": "digits", "train": 1200}, "data.train + data.val = 6200: digits has 1437 training images"),
        ({"dataset": "digits", "train": 1200, "val": 237}, "data.test = 10000: digits has 360 test images"),
        ({"train": 9}, "data.train = 9: cifar10 has 10 classes, and each needs an image"),
        ({"val": 9}, "data.val = 9: cifar10 has 10 classes, and each needs an image"),
        ({"dataset": "digits", "test": 2}, "data.test = 2: digits has 10 classes, and each needs an image"),
        ({"dataset": "folder", "val": 1}, "data.val = 1: input should be greater than or equal to 2"),
        ({"dataset": "folder", "path": ""}, "data.path = '': string should have at least 1 character"),
        ({"side": 15}, "data.side = 15: input should be greater than or equal to 16"),
        ({"side": 257}, "data.side = 257: input should be less than or equal to 256"),
        ({"train": 1e4}, "data.train = 10000.0: input should be a valid integer"),
        ({"seed": -1}, "data.seed = -1: input should be greater than or equal to 0"),
        ({"dataset": "cifar100"}, "data.dataset = 'cifar100': input should be 'cifar10', 'digits' or 'folder'"),
        ({"trian": 100}, "data.trian is not a known parameter"),
    ],
)
def test_data_refuses_in_one_line(change, message):
    with pytest.raises(Refusal) as refusal:
        parse({"data": DATA | change}, "data", Data)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def _images(count):
    return np.random.default_rng(count).integers(0, 256, (count, 32, 32, 3), np.uint8)


def test_raw_is_read_as_it_was_saved(tmp_path):
    raw = Raw(_images(4), np.array([0, 1, 0, 1]), _images(2), np.array([1, 0]), ["cat", "dog"])
    folder = tmp_path / "data/raw"
    folder.mkdir(parents=True)
    save_raw(raw, folder)
    for saved, read in zip(raw, load_raw(tmp_path), strict=True):
        np.testing.assert_array_equal(saved, read)
    assert sorted(path.name for path in folder.iterdir()) == [
        "classes.json",
        "test_images.npy",
        "test_labels.npy",
        "train_images.npy",
        "train_labels.npy",
    ]


def test_a_split_is_read_as_it_was_saved_with_its_classes(tmp_path):
    split = Split(_images(3), np.array([1, 0, 1]), np.array([5, 7, 8]))
    folder = tmp_path / "data/subset"
    folder.mkdir(parents=True)
    save_split(split, folder, "val")
    save_classes(["cat", "dog"], folder)
    images, labels = load_split(tmp_path, "val")
    np.testing.assert_array_equal(images, split.images)
    np.testing.assert_array_equal(labels, split.labels)
    assert class_names(tmp_path) == ["cat", "dog"]
    with np.load(folder / "val.npz") as arrays:
        np.testing.assert_array_equal(arrays["indices"], split.indices)


class Hostile:
    """Its pickle runs a command of its author's choice when it is loaded."""

    def __reduce__(self):
        return pytest.fail, ("unpickled",)


def test_a_pickle_in_place_of_an_array_is_never_loaded(tmp_path):
    objects = np.array([Hostile()])
    (tmp_path / "data/raw").mkdir(parents=True)
    save_raw(Raw(_images(4), objects, _images(2), objects, ["cat", "dog"]), tmp_path / "data/raw")
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_raw(tmp_path)

    (tmp_path / "data/subset").mkdir(parents=True)
    save_split(Split(_images(1), objects, objects), tmp_path / "data/subset", "val")
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_split(tmp_path, "val")


def test_datasets_does_not_import_torch():
    code = "import sys, stages.common.datasets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
