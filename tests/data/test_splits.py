import subprocess
import sys

import numpy as np
import pytest

from study.data.splits import (
    Examples,
    Raw,
    Split,
    class_names,
    halves,
    load_raw,
    load_split,
    save_classes,
    save_raw,
    save_split,
)


def _images(count):
    return np.random.default_rng(count).integers(0, 256, (count, 32, 32, 3), np.uint8)


def test_raw_is_read_as_it_was_saved(tmp_path):
    raw = Raw(
        *(_images(4), np.array([0, 1, 0, 1])),
        *(_images(3), np.array([0, 1, 1])),
        *(_images(2), np.array([1, 0])),
        ["cat", "dog"],
    )
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
        "val_images.npy",
        "val_labels.npy",
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
    save_raw(Raw.without_val((_images(4), objects), (_images(2), objects), ["cat", "dog"]), tmp_path / "data/raw")
    with pytest.raises(ValueError, match="Python objects"):
        load_raw(tmp_path)

    (tmp_path / "data/subset").mkdir(parents=True)
    save_split(Split(_images(1), objects, objects), tmp_path / "data/subset", "val")
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_split(tmp_path, "val")


def test_one_half_chooses_the_checkpoint_and_the_other_fits_the_temperature():
    val = Examples(np.arange(14).reshape(7, 2), np.arange(7))
    selection, calibration = halves(val)
    assert selection.labels.tolist() == [0, 2, 4, 6] and calibration.labels.tolist() == [1, 3, 5]
    assert selection.inputs.tolist() == [[0, 1], [4, 5], [8, 9], [12, 13]]
    assert calibration.inputs.tolist() == [[2, 3], [6, 7], [10, 11]]


def test_the_halves_of_val_are_disjoint_and_whole():
    selection, calibration = halves(Examples(np.arange(11), np.arange(11)))
    assert sorted([*selection.labels, *calibration.labels]) == list(range(11))
    assert abs(len(selection.labels) - len(calibration.labels)) <= 1


def test_splits_are_read_without_torch():
    code = "import sys, study.data.splits; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
