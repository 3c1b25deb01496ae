import subprocess
import sys

import numpy as np
import pytest

from study.data.splits import Facts, Raw, Split, load_facts, load_raw, load_split, save_facts, save_raw, save_split

FACTS = Facts("pets", ["cat", "dog"], mirrors=True)


def _images(count):
    return np.random.default_rng(count).integers(0, 256, (count, 32, 32, 3), np.uint8)


def test_raw_is_read_as_it_was_saved(tmp_path):
    raw = Raw(
        *(_images(4), np.array([0, 1, 0, 1])),
        *(_images(3), np.array([0, 1, 1])),
        *(_images(2), np.array([1, 0])),
        FACTS,
    )
    folder = tmp_path / "data/raw"
    folder.mkdir(parents=True)
    save_raw(raw, folder)
    read = load_raw(tmp_path)
    for saved, found in zip(raw[:-1], read[:-1], strict=True):
        np.testing.assert_array_equal(saved, found)
    assert read.facts == FACTS
    assert sorted(path.name for path in folder.iterdir()) == [
        "dataset.json",
        "test_images.npy",
        "test_labels.npy",
        "train_images.npy",
        "train_labels.npy",
        "val_images.npy",
        "val_labels.npy",
    ]


def test_a_split_is_read_as_it_was_saved_with_the_facts_of_its_dataset(tmp_path):
    split = Split(_images(3), np.array([1, 0, 1]), np.array([5, 7, 8]))
    folder = tmp_path / "data/subset"
    folder.mkdir(parents=True)
    save_split(split, folder, "selection")
    save_facts(FACTS, folder)
    read = load_split(tmp_path, "selection")
    for saved, found in zip(split, read, strict=True):
        np.testing.assert_array_equal(saved, found)
    assert read.examples == (read.images, read.labels)
    assert load_facts(tmp_path) == FACTS


class Hostile:
    """Its pickle runs a command of its author's choice when it is loaded."""

    def __reduce__(self):
        return pytest.fail, ("unpickled",)


def test_a_pickle_in_place_of_an_array_is_never_loaded(tmp_path):
    objects = np.array([Hostile()])
    (tmp_path / "data/raw").mkdir(parents=True)
    save_raw(Raw.without_val((_images(4), objects), (_images(2), objects), FACTS), tmp_path / "data/raw")
    with pytest.raises(ValueError, match="Python objects"):
        load_raw(tmp_path)

    (tmp_path / "data/subset").mkdir(parents=True)
    save_split(Split(_images(1), objects, objects), tmp_path / "data/subset", "selection")
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_split(tmp_path, "selection")


def test_splits_are_read_without_torch():
    code = "import sys, study.data.splits; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
