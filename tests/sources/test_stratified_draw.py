import re

import numpy as np
import pytest

from study.data.splits import Facts, Raw
from study.pipeline.params import Refusal, parse
from study.sources.stratified_draw import Data, draw, places

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
        ({"dataset": "svhn"}, "data.dataset = 'svhn': input should be 'cifar10', 'cifar100', 'digits' or 'folder'"),
        ({"trian": 100}, "data.trian is not a known parameter"),
    ],
)
def test_data_refuses_in_one_line(change, message):
    with pytest.raises(Refusal) as refusal:
        parse({"data": DATA | change}, "data", Data)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.fixture
def raw():
    """Forty images of each of ten classes to train on and ten to test on; an image's first pixel is its index."""
    train_labels, test_labels = np.repeat(np.arange(10), 40), np.tile(np.arange(10), 10)
    return Raw.without_val(
        (_numbered(400), train_labels),
        (_numbered(100), test_labels),
        Facts("made up", [str(label) for label in range(10)], mirrors=True),
    )


def val_of(splits):
    """The places of its two halves, ascending."""
    return np.sort(np.concatenate([splits[half].indices for half in ("selection", "calibration")]))


def counts_of(splits):
    """The images of each class in train, val and test."""
    labels = {name: splits[name].labels for name in ("train", "test")}
    labels["val"] = np.concatenate([splits[half].labels for half in ("selection", "calibration")])
    return {name: np.bincount(of).tolist() for name, of in labels.items()}


def _numbered(count):
    images = np.zeros((count, 32, 32, 3), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = np.divmod(np.arange(count), 256)
    return images


def _data(**change):
    return Data(**(DATA | {"train": 200, "val": 100, "test": 50} | change))


def test_each_split_has_every_class_in_proportion(raw):
    splits = draw(raw, _data())
    assert counts_of(splits) == {"train": [20] * 10, "val": [10] * 10, "test": [5] * 10}


def test_train_and_val_share_no_image(raw):
    splits = draw(raw, _data())
    assert len(set(splits["train"].indices) | set(val_of(splits))) == 200 + 100


def test_indices_point_to_the_images_and_labels_that_were_drawn(raw):
    splits = draw(raw, _data())
    for name, images, labels in (
        ("train", raw.train_images, raw.train_labels),
        ("selection", raw.train_images, raw.train_labels),
        ("calibration", raw.train_images, raw.train_labels),
        ("test", raw.test_images, raw.test_labels),
    ):
        indices = splits[name].indices
        np.testing.assert_array_equal(splits[name].images, images[indices])
        np.testing.assert_array_equal(splits[name].labels, labels[indices])
        assert indices.dtype == np.int64 and (np.diff(indices) > 0).all()


def test_all_the_images_may_be_drawn_and_the_test_set_keeps_its_order(raw):
    splits = draw(raw, _data(train=300, val=100, test=100))
    np.testing.assert_array_equal(np.sort(np.concatenate([splits["train"].indices, val_of(splits)])), range(400))
    np.testing.assert_array_equal(splits["test"].indices, range(100))


@pytest.mark.parametrize("test", [10, 95, 99])
def test_any_number_of_test_images_may_be_drawn(raw, test):
    labels = draw(raw, _data(test=test))["test"].labels
    np.testing.assert_allclose(np.bincount(labels), test / 10, atol=1)


def test_ten_images_are_one_of_each_class_even_where_classes_differ_in_size(raw):
    keep = np.r_[0:30, 40:400]  # class 0 has thirty, the others forty
    unequal = raw._replace(train_images=raw.train_images[keep], train_labels=raw.train_labels[keep])
    splits = draw(unequal, _data(train=10, val=10, test=10))
    assert counts_of(splits) == dict.fromkeys(("train", "val", "test"), [1] * 10)


def test_the_seed_alone_decides_what_is_drawn(raw):
    once, again, other = draw(raw, _data()), draw(raw, _data()), draw(raw, _data(seed=1))
    for name in once:
        np.testing.assert_array_equal(once[name].indices, again[name].indices)
        assert not np.array_equal(once[name].indices, other[name].indices)


NONE = np.array([], np.int64)  # test labels where the test split is drawn from all
CLASSES = ["cat", "dog", "fox"]


def _folder(train, val, test):
    return _data(dataset="folder", train=train, val=val, test=test)


def test_without_test_images_the_test_split_comes_from_all_and_shares_none(raw):
    alone = raw._replace(test_images=raw.test_images[:0], test_labels=NONE)
    splits = draw(alone, _data(train=200, val=100, test=50))
    indices = [set(split.indices) for split in splits.values()]
    assert len(set.union(*indices)) == sum(map(len, indices)) == 200 + 100 + 50
    assert counts_of(splits) == {
        "train": [20] * 10,
        "val": [10] * 10,
        "test": [5] * 10,
    }
    for split in splits.values():
        np.testing.assert_array_equal(split.images, alone.train_images[split.indices])
        np.testing.assert_array_equal(split.labels, alone.train_labels[split.indices])
    other = draw(alone, _data(train=200, val=100, test=50, seed=1))
    assert not np.array_equal(splits["test"].indices, other["test"].indices)


@pytest.mark.parametrize("tested", [100, 0])
def test_val_is_drawn_from_images_of_its_own_where_there_are_any(raw, tested):
    own = raw._replace(
        val_images=_numbered(60) + 1,
        val_labels=np.tile(np.arange(10), 6),
        test_images=raw.test_images[:tested],
        test_labels=raw.test_labels[:tested],
    )
    splits = draw(own, _data(train=350, val=30, test=50))  # with val drawn from the 400, there would not be enough
    assert counts_of(splits) == {
        "train": [35] * 10,
        "val": [3] * 10,
        "test": [5] * 10,
    }
    for name, images in (
        ("train", own.train_images),
        ("selection", own.val_images),
        ("calibration", own.val_images),
        ("test", own.test_images if tested else own.train_images),
    ):
        indices = splits[name].indices
        np.testing.assert_array_equal(splits[name].images, images[indices])
        assert len(set(indices)) == len(indices) and (np.diff(indices) > 0).all()
    assert tested or not set(splits["train"].indices) & set(splits["test"].indices)
    assert not np.array_equal(val_of(draw(own, _data(train=350, val=30, test=50, seed=1))), val_of(splits))


def test_all_of_each_split_of_its_own_may_be_drawn(raw):
    own = raw._replace(val_images=_numbered(60), val_labels=np.tile(np.arange(10), 6))
    splits = draw(own, _data(train=400, val=60, test=100))
    for found, count in ((splits["train"].indices, 400), (val_of(splits), 60), (splits["test"].indices, 100)):
        np.testing.assert_array_equal(found, range(count))


def test_the_halves_of_val_take_its_images_in_turn(raw):
    splits = draw(raw, _data(val=99))
    whole = val_of(splits)
    np.testing.assert_array_equal(splits["selection"].indices, whole[0::2])
    np.testing.assert_array_equal(splits["calibration"].indices, whole[1::2])
    assert (len(splits["selection"].labels), len(splits["calibration"].labels)) == (50, 49)


@pytest.mark.parametrize(
    ("val", "test", "counts", "line"),
    [
        (9, 15, (31, 6, 6), "data.train = 31: there are 30 images to train on"),
        (9, 15, (30, 10, 6), "data.val = 10: there are 9 images to validate on"),
        (9, 15, (30, 9, 16), "data.test = 16: there are 15 images to test on"),
        (9, 0, (25, 9, 6), "data.train + data.test = 31: there are 30 images to train on"),
        (9, 15, (30, 2, 6), "data.val = 2: there are 3 classes, and each needs an image"),
    ],
)
def test_more_than_a_split_of_its_own_has_is_refused_in_one_line(val, test, counts, line):
    labels = (np.arange(count) % 3 for count in (30, val, test))
    with pytest.raises(Refusal, match=re.escape(line)):
        places(*labels, CLASSES, _folder(*counts))


@pytest.mark.parametrize(
    ("train_labels", "test_labels", "counts", "line"),
    [
        ([10, 10, 10], NONE, (20, 6, 6), "data.train + data.val + data.test = 32: there are 30 images"),
        ([10, 10, 10], [5, 5, 5], (25, 6, 6), "data.train + data.val = 31: there are 30 images to train on"),
        ([10, 10, 10], [5, 5, 5], (20, 6, 16), "data.test = 16: there are 15 images to test on"),
        ([10, 10, 10], NONE, (20, 2, 6), "data.val = 2: there are 3 classes, and each needs an image"),
        ([10, 10, 10], [5, 5, 5], (20, 6, 2), "data.test = 2: there are 3 classes, and each needs an image"),
        ([10, 1, 10], NONE, (9, 6, 6), "each split needs an image of each class, and class 'dog' has too few"),
        ([10, 2, 10], NONE, (10, 6, 6), "each split needs an image of each class, and class 'dog' has too few"),
        ([10, 1, 10], [5, 5, 5], (10, 6, 6), "each split needs an image of each class, and class 'dog' has too few"),
        ([90, 90, 3], NONE, (150, 15, 15), "each split needs an image of each class, and class 'fox' has too few"),
        ([90, 90, 90], [90, 1, 90], (90, 15, 15), "each split needs an image of each class, and class 'dog' has too"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(train_labels, test_labels, counts, line):
    train_labels, test_labels = (
        np.repeat(np.arange(len(each)), np.asarray(each, int)) for each in (train_labels, test_labels)
    )
    with pytest.raises(Refusal) as refusal:
        places(train_labels, NONE, test_labels, CLASSES, _folder(*counts))
    assert line in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_one_image_of_a_class_in_each_split_is_enough():
    train, val, test = places(np.repeat([0, 1, 2], 3), NONE, NONE, CLASSES, _folder(3, 3, 3)).values()
    assert [len(split) for split in (train, val, test)] == [3, 3, 3]
