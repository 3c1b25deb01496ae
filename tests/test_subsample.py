import csv
import json

import numpy as np
import pytest
from PIL import Image

from stages import subsample
from stages.common.datasets import Raw, class_names, load_split, save_raw
from stages.common.params import Refusal

CLASSES = [f"class {label}" for label in range(10)]
PARAMS = {
    "data": {"dataset": "digits", "path": "pictures", "side": 64, "train": 50, "val": 20, "test": 40, "seed": 0},
    "train": {"common": {"augment": {"crop_flip": True, "randaugment": False, "cutout": False}}},
}


@pytest.fixture
def root(tmp_path):
    """A project with 100 raw images to train on and 40 to test on."""
    images = np.random.default_rng(0).integers(0, 256, (140, 32, 32, 3), np.uint8)
    labels = np.arange(140) % 10
    folder = tmp_path / "data/raw"
    folder.mkdir(parents=True)
    save_raw(Raw(images[:100], labels[:100], images[100:], labels[100:], CLASSES), folder)
    return tmp_path


def test_subsample_writes_stratified_splits_with_their_indices(root):
    subsample.run(PARAMS, root)
    for name, per_class in (("train", 5), ("val", 2), ("test", 4)):
        images, labels = load_split(root, name)
        assert images.shape == (10 * per_class, 32, 32, 3) and images.dtype == np.uint8
        assert labels.dtype == np.int64 and np.bincount(labels).tolist() == [per_class] * 10
        with np.load(root / f"data/subset/{name}.npz") as arrays:
            raw = np.load(root / f"data/raw/{'test' if name == 'test' else 'train'}_images.npy")
            np.testing.assert_array_equal(raw[arrays["indices"]], images)
    assert class_names(root) == CLASSES


def test_subsample_draws_small_pictures_and_counts_classes(root):
    subsample.run(PARAMS, root)
    folder = root / "plots/data"
    assert sorted(path.name for path in folder.iterdir()) == [
        "augmentation.png",
        "class_distribution.png",
        "samples.png",
    ]
    for path in folder.glob("*.png"):
        with Image.open(path) as picture:
            assert picture.width > 400 and picture.height > 200
    rows = list(csv.DictReader((root / "results/class_counts.csv").read_text().splitlines()))
    assert len(rows) == 3 * 10
    assert rows[0] == {"split": "train", "class": "class 0", "count": "5"}
    assert rows[-1] == {"split": "test", "class": "class 9", "count": "4"}


def test_the_augmentation_is_pictured_and_changes_no_split(root):
    def written(augment):
        subsample.run(PARAMS | {"train": {"common": {"augment": augment}}}, root)
        splits = [(root / f"data/subset/{name}.npz").read_bytes() for name in ("train", "val", "test")]
        return splits, (root / "plots/data/augmentation.png").read_bytes()

    splits, picture = written({"crop_flip": True, "randaugment": False, "cutout": False})
    same_splits, another_picture = written({"crop_flip": True, "randaugment": False, "cutout": True})
    assert splits == same_splits
    assert picture != another_picture


def test_same_seed_same_bytes_and_another_seed_other_images(root):
    def outputs(seed):
        subsample.run(PARAMS | {"data": PARAMS["data"] | {"seed": seed}}, root)
        folders = (root / "data/subset", root / "plots/data")
        return {path.name: path.read_bytes() for folder in folders for path in folder.iterdir()}

    first, again, other = outputs(0), outputs(0), outputs(1)
    assert first == again
    changed = {name for name in first if first[name] != other[name]}
    assert changed == {"train.npz", "val.npz", "samples.png", "augmentation.png"}  # all 40 test images are taken


def test_more_images_than_exist_are_refused_and_the_old_subset_stays(root):
    subsample.run(PARAMS, root)
    with pytest.raises(Refusal, match=r"data.train \+ data.val = 1450: digits has 1437 training images"):
        subsample.run(PARAMS | {"data": PARAMS["data"] | {"train": 1430}}, root)
    assert json.loads((root / "data/subset/classes.json").read_text()) == CLASSES
