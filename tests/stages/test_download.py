import shutil

import numpy as np
import pytest
from PIL import Image

from stages import download
from study.data.splits import Facts, Raw, load_raw
from study.pipeline.params import Refusal
from study.sources.datasets import PUBLISHED

FACTS = Facts("made up", ["airplane"], mirrors=True)
PARAMS = {"data": {"dataset": "digits", "path": "pictures", "side": 64}}


def published(monkeypatch, name, raw):
    """Let the dataset of this name be `raw`."""
    monkeypatch.setitem(PUBLISHED, name, PUBLISHED[name]._replace(load=lambda root: raw))


def written(root, **data):
    """What stage `download` leaves: {file below data: its bytes}."""
    download.run({"data": PARAMS["data"] | data}, root)
    return {path.relative_to(root / "data").as_posix(): path.read_bytes() for path in (root / "data").rglob("*.*")}


def test_download_writes_the_digits_in_the_documented_layout(tmp_path):
    assert sorted(written(tmp_path)) == [
        "raw/dataset.json",
        "raw/test_images.npy",
        "raw/test_labels.npy",
        "raw/train_images.npy",
        "raw/train_labels.npy",
        "raw/val_images.npy",
        "raw/val_labels.npy",
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
    published(monkeypatch, "cifar10", Raw.without_val((images, labels), (images, labels), FACTS))
    before = written(tmp_path, dataset=dataset)
    assert written(tmp_path, dataset=dataset, **change) == before


def test_cifar10_replaces_digits_and_where_it_came_from_is_not_recorded(tmp_path, monkeypatch):
    download.run(PARAMS, tmp_path)
    images, labels = np.zeros((20, 32, 32, 3), np.uint8), np.arange(20) % 10
    monkeypatch.setenv("CIFAR10_DIR", "/some/secret/place")
    published(monkeypatch, "cifar10", Raw.without_val((images, labels), (images, labels), FACTS))
    files = written(tmp_path, dataset="cifar10")
    assert load_raw(tmp_path).facts == FACTS
    assert not any(b"secret" in content for content in files.values())


@pytest.mark.parametrize("dataset", ["cifar10", "digits"])
def test_an_official_split_that_shares_images_is_kept_as_it_was_published(tmp_path, monkeypatch, capsys, dataset):
    images, labels = np.zeros((20, 32, 32, 3), np.uint8), np.arange(20) % 10
    published(monkeypatch, dataset, Raw.without_val((images, labels), (images[:15], labels[:15]), FACTS))
    written(tmp_path, dataset=dataset)
    raw = load_raw(tmp_path)
    assert (len(raw.train_images), len(raw.val_images), len(raw.test_images)) == (20, 0, 15)
    assert capsys.readouterr().out == f"{dataset}: 20 images to train on, 15 to test\n"


def picture(path, *colour):
    """Half black, half of this colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((20, 20, 3), np.uint8)
    pixels[:, 10:] = colour
    Image.fromarray(pixels).save(path)


def test_a_folder_of_pictures_is_read_and_what_is_odd_about_it_is_printed(tmp_path, capsys):
    for split, first in (("train", 100), ("valid", 150), ("test", 200)):
        for label, name in enumerate(("cat", "dog")):
            for number in range(3):
                picture(tmp_path / f"mine/{split}/{name}/{number}.png", first + number, 100 * label, 0)
    picture(tmp_path / "mine/train/cat/black.png", 0, 0, 0)
    Image.open(tmp_path / "mine/train/cat/0.png").save(tmp_path / "mine/train/cat/same.bmp")
    shutil.copyfile(tmp_path / "mine/train/cat/0.png", tmp_path / "mine/train/cat/copy.png")
    (tmp_path / "mine/train/dog/photo.heic").touch()
    written(tmp_path, dataset="folder", path="mine", side=16)
    assert capsys.readouterr().out.splitlines() == [
        "left out 1 copy of other pictures: train/cat/copy.png",
        "left out 1 file without a picture's suffix: 1 .heic",
        "2 pictures look like another at 16 pixels a side, though the files differ: "
        "train/cat/0.png = train/cat/same.bmp",
        "of one colour, with nothing to see: 1 picture to train on: train/cat/black.png",
        "folder: 8 images to train on, 6 to validate on, 6 to test",
    ]
    raw = load_raw(tmp_path)
    assert sorted(raw.val_images[:, 0, -1, 0]) == [150, 150, 151, 151, 152, 152]
    assert sorted(raw.test_images[:, 0, -1, 0]) == [200, 200, 201, 201, 202, 202]


def test_a_refused_download_leaves_no_output(tmp_path, monkeypatch):
    monkeypatch.setenv("CIFAR10_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(Refusal, match="nowhere"):
        download.run({"data": PARAMS["data"] | {"dataset": "cifar10"}}, tmp_path)
    assert not (tmp_path / "data").exists()


def test_an_unknown_dataset_is_refused_before_anything_is_fetched(tmp_path, monkeypatch):
    for name, source in PUBLISHED.items():
        monkeypatch.setitem(PUBLISHED, name, source._replace(load=lambda root: pytest.fail("fetched")))
    with pytest.raises(Refusal, match=r"data\.dataset = 'mnist'"):
        download.run({"data": PARAMS["data"] | {"dataset": "mnist"}}, tmp_path)
