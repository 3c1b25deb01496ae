from fnmatch import fnmatch

import numpy as np
import pytest

from stages import subsample
from study.data.splits import Facts, Raw, load_facts, load_split, save_raw
from study.pipeline.params import Refusal
from tests.stand_in import UNTOUCHED_BY

CLASSES = [f"class {label}" for label in range(10)]
FACTS = Facts("made up", CLASSES, mirrors=True)
PARAMS = {
    "data": {"dataset": "digits", "path": "pictures", "side": 64, "train": 50, "val": 20, "test": 30, "seed": 0},
}
OTHERS = {"path": "photos", "side": 32, "train": 40, "val": 30, "test": 20, "seed": 1}
FILES = {"train.npz", "selection.npz", "calibration.npz", "test.npz", "dataset.json"}


@pytest.fixture
def root(tmp_path):
    """A project with 100 raw images to train on and 40 to test on."""
    images = np.random.default_rng(0).integers(0, 256, (140, 32, 32, 3), np.uint8)
    labels = np.arange(140) % 10
    folder = tmp_path / "data/raw"
    folder.mkdir(parents=True)
    save_raw(Raw.without_val((images[:100], labels[:100]), (images[100:], labels[100:]), FACTS), folder)
    return tmp_path


def written(root, **change):
    subsample.run({"data": PARAMS["data"] | change}, root)
    return {path.name: path.read_bytes() for path in (root / "data/subset").iterdir()}


def test_subsample_writes_stratified_splits_with_their_indices(root):
    subsample.run(PARAMS, root)
    for name, per_class in (("train", 5), ("test", 3)):
        images, labels = load_split(root, name).examples
        assert images.shape == (10 * per_class, 32, 32, 3) and images.dtype == np.uint8
        assert labels.dtype == np.int64 and np.bincount(labels).tolist() == [per_class] * 10
        with np.load(root / f"data/subset/{name}.npz") as arrays:
            raw = np.load(root / f"data/raw/{'test' if name == 'test' else 'train'}_images.npy")
            np.testing.assert_array_equal(raw[arrays["indices"]], images)
    halves = [load_split(root, half) for half in ("selection", "calibration")]
    assert [len(half.labels) for half in halves] == [10, 10]
    assert np.bincount(np.concatenate([half.labels for half in halves])).tolist() == [2] * 10
    places = np.sort(np.concatenate([half.indices for half in halves]))
    np.testing.assert_array_equal(halves[0].indices, places[::2])  # every other one of val
    assert load_facts(root) == FACTS


def test_subsample_writes_only_the_splits(root):
    assert set(written(root)) == FILES
    assert [path.name for path in root.iterdir()] == ["data"]


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_is_the_same_bytes_whatever_else_of_data_changes(root, name):
    """tests.stand_in counts on it: a changed `data.test` trains nothing."""
    before = written(root)[name]
    untouched = [
        leaf
        for leaf in OTHERS
        if any(fnmatch(f"data.{leaf}", pattern) for pattern in UNTOUCHED_BY[f"data/subset/{name}"])
    ]
    assert {"path", "side"} < set(untouched)
    for leaf in untouched:
        assert written(root, **{leaf: OTHERS[leaf]})[name] == before, leaf


def test_another_seed_draws_other_images(root):
    first, other = written(root), written(root, seed=1)
    assert {name for name in FILES if first[name] != other[name]} == FILES - {"dataset.json"}


def test_all_test_images_are_the_same_bytes_whatever_the_seed(root):
    assert written(root, test=40)["test.npz"] == written(root, test=40, seed=1)["test.npz"]


def test_more_images_than_exist_are_refused_and_the_old_subset_stays(root):
    subsample.run(PARAMS, root)
    with pytest.raises(Refusal, match=r"data.train \+ data.val = 1450: digits has 1437 training images"):
        subsample.run({"data": PARAMS["data"] | {"train": 1430}}, root)
    assert load_facts(root) == FACTS
