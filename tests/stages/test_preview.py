import numpy as np
import pytest
from PIL import Image

from stages import preview
from study.data.splits import Facts, Split, save_facts, save_split

CLASSES = [f"class {label}" for label in range(10)]
AUGMENT = {"crop": True, "flip": True, "randaugment": False, "cutout": False, "augmix": False}
PICTURES = {"samples.png", "augmentation.png"}


@pytest.fixture
def root(tmp_path, images):
    """A project with splits of 20, 10 and 10 images."""
    folder = tmp_path / "data/subset"
    folder.mkdir(parents=True)
    splits = {"train": (0, 20), "selection": (20, 25), "calibration": (25, 30), "test": (30, 40)}
    for name, rows in ((name, slice(*ends)) for name, ends in splits.items()):
        save_split(Split(images[rows], np.arange(40)[rows] % 10, np.arange(40)[rows]), folder, name)
    save_facts(Facts("made up", CLASSES, mirrors=True), folder)
    return tmp_path


def written(root, seed=0, dataset="cifar10", **augment):
    params = {"data": {"dataset": dataset, "seed": seed}, "train": {"common": {"augment": AUGMENT | augment}}}
    preview.run(params, root)
    return {path.name: path.read_bytes() for path in (root / "plots/data").iterdir()}


def test_preview_draws_pictures_and_nothing_else(root):
    subset = {path: path.read_bytes() for path in (root / "data/subset").iterdir()}
    assert set(written(root)) == PICTURES
    for name in PICTURES:
        with Image.open(root / "plots/data" / name) as picture:
            assert picture.width > 200 and picture.height > 150
    assert {path: path.read_bytes() for path in (root / "data/subset").iterdir()} == subset
    assert sorted(path.name for path in root.iterdir()) == ["data", "plots"]


@pytest.mark.parametrize("change", [{"cutout": True, "augmix": False}, {"seed": 1}])
def test_the_augmentation_is_pictured_and_nothing_else_depends_on_it(root, change):
    before, after = written(root), written(root, **change)
    assert {name for name in PICTURES if before[name] != after[name]} == {"augmentation.png"}


def test_the_same_splits_give_the_same_bytes(root):
    assert written(root) == written(root)


def test_a_folder_s_classes_are_pictured_too(root):
    assert set(written(root, dataset="folder")) == PICTURES | {"class_distribution.png"}


def test_every_split_s_classes_are_counted(root, monkeypatch):
    seen = []

    def class_distribution(counted, classes):
        seen.append(({name: np.bincount(labels).tolist() for name, labels in counted.items()}, classes))
        return Image.new("RGB", (1, 1))

    monkeypatch.setattr(Image.Image, "savefig", Image.Image.save, raising=False)
    monkeypatch.setattr(preview, "class_distribution", class_distribution)
    written(root, dataset="folder")
    assert seen == [({"train": [2] * 10, "val": [1] * 10, "test": [1] * 10}, CLASSES)]
