import json

import numpy as np
import pytest
from PIL import Image

from stages.corrupt import run
from study.corruption.catalogue import corrupt
from study.data.splits import Split, save_split
from study.pipeline.params import Refusal

CLASSES = ["a", "b", "c"]
BLOCK = {"corruptions": ["contrast", "frost", "occlusion"], "images": 12, "seed": 0, "cifar10c_dir": None}
IMAGES = np.random.default_rng(0).integers(0, 256, (18, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(18) % 3
INDICES = np.arange(18)[::-1] + 2  # of 20 test images, in another order
CONDITIONS = 1 + 3 * 5


def with_block(**change):
    return {"corrupt_eval": BLOCK | change}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A test split of 18 images in 3 classes."""
    root = tmp_path_factory.mktemp("project")
    (root / "data/subset").mkdir(parents=True)
    save_split(Split(IMAGES, LABELS, INDICES), root / "data/subset", "test")
    return root


@pytest.fixture(scope="module")
def root(project):
    """The project after the stage has run on 12 of the images."""
    run(with_block(), project)
    return project


def saved(root, name):
    return np.load(root / f"data/corrupted/{name}.npy")


def rows_of(images):
    """Which rows of the test split these images are."""
    return [int(np.flatnonzero((image == IMAGES).all(axis=(1, 2, 3)))[0]) for image in images]


def test_the_images_are_the_clean_ones_then_every_condition(root):
    images, conditions = saved(root, "images"), json.loads((root / "data/corrupted/conditions.json").read_text())
    assert images.dtype == np.uint8 and images.shape == (CONDITIONS, 12, 32, 32, 3)
    assert conditions[0] == {"corruption": "clean", "group": "clean", "severity": 0}
    assert [(each["corruption"], each["severity"]) for each in conditions[1:]] == [
        (name, severity) for name in BLOCK["corruptions"] for severity in (1, 2, 3, 4, 5)
    ]
    for seen, condition in list(zip(images, conditions, strict=True))[1:]:
        expected = corrupt(images[0], condition["corruption"], condition["severity"], seed=0)
        np.testing.assert_array_equal(seen, expected)


def test_the_images_are_drawn_stratified_and_keep_their_labels(root):
    rows = rows_of(saved(root, "images")[0])
    assert len(set(rows)) == 12
    np.testing.assert_array_equal(saved(root, "labels"), LABELS[rows])
    assert np.bincount(saved(root, "labels")).tolist() == [4, 4, 4]


def test_the_contact_sheet_is_a_picture(root):
    with Image.open(root / "plots/corruptions.png") as sheet:
        assert sheet.width > 2 * 6 * 32 and sheet.height > 3 * 32


def test_the_same_seed_gives_the_same_bytes(root):
    def written():
        run(with_block(corruptions=["frost"]), root)
        return {path.name: path.read_bytes() for path in (root / "data/corrupted").iterdir()}

    before = saved(root, "images")
    assert written() == written()
    run(with_block(), root)
    np.testing.assert_array_equal(saved(root, "images"), before)


@pytest.fixture
def official(tmp_path):
    """A folder in the official layout with `contrast` and `frost`: 20 images, each of one value that says which."""
    labels = np.zeros(20, dtype=np.uint8)
    labels[INDICES] = LABELS
    np.save(tmp_path / "labels.npy", np.tile(labels, 5))
    values = np.arange(100, dtype=np.uint8)[:, None, None, None]
    for place, name in enumerate(("contrast", "frost")):
        np.save(tmp_path / f"{name}.npy", np.broadcast_to(values + 100 * place, (100, 32, 32, 3)))
    return tmp_path


def test_official_files_are_read_where_there_are_any(project, official):
    run(with_block(cifar10c_dir=str(official)), project)
    images, conditions = saved(project, "images"), json.loads((project / "data/corrupted/conditions.json").read_text())
    indices = INDICES[rows_of(images[0])]
    for place, condition in enumerate(conditions[1:11], start=1):
        first = 20 * (condition["severity"] - 1) + (100 if condition["corruption"] == "frost" else 0)
        np.testing.assert_array_equal(images[place, :, 5, 5, 0], first + indices)
    np.testing.assert_array_equal(images[11], corrupt(images[0], "occlusion", 1, seed=0))
    assert {each["corruption"]: each["group"] for each in conditions[1:]} == {
        "contrast": "benchmark", "frost": "benchmark", "occlusion": "own"
    }  # fmt: skip


def test_a_folder_without_a_file_is_refused_before_anything_is_written(project, official):
    (official / "frost.npy").unlink()
    before = sorted((project / "data").rglob("*")), saved(project, "images")
    with pytest.raises(Refusal, match=r"corrupt_eval.cifar10c_dir = .*frost.npy") as refusal:
        run(with_block(cifar10c_dir=str(official)), project)
    assert "\n" not in str(refusal.value)
    assert sorted((project / "data").rglob("*")) == before[0]
    np.testing.assert_array_equal(saved(project, "images"), before[1])


def test_more_images_than_there_are_is_refused_in_one_line(project):
    line = r"^params.yaml: corrupt_eval.images = 19: the test split has 18 images; [^\n]+$"
    with pytest.raises(Refusal, match=line):
        run(with_block(images=19), project)
