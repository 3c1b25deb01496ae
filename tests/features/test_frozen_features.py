import numpy as np
import torch

from study.data.splits import Split, save_split
from study.features import frozen_features
from study.features.augment import Augment
from study.features.frozen_features import features_path, load_features, training_views, write_pooled
from study.networks.device import autocast

AUGMENT = Augment(crop=True, flip=True, randaugment=False, cutout=False, augmix=False)


def test_features_are_what_the_frozen_backbone_yields(model, images, tmp_path):
    for folder in ("data/features", "data/subset"):
        (tmp_path / folder).mkdir(parents=True)
    labels = np.arange(len(images)) % 3
    for split, views, shape, dtype in (
        ("train", training_views(images, 2, AUGMENT, 0), (2, len(images)), np.float16),
        ("selection", [images], (len(images),), np.float32),
    ):
        write_pooled(model, features_path(tmp_path, split), views, shape, dtype)
        save_split(Split(images, labels, labels), tmp_path / "data/subset", split)

    with torch.no_grad(), autocast():
        expected = model.pooled(torch.from_numpy(images)).float()
    train, selection = load_features(tmp_path)
    np.testing.assert_allclose(selection.inputs, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(train.inputs[0], expected, rtol=2e-3, atol=1e-3)  # float16
    assert (train.inputs.shape, train.inputs.dtype) == ((2, 40, 512), np.float16)
    for split in (train, selection):
        np.testing.assert_array_equal(split.labels, labels)


def test_large_views_come_in_pieces_and_are_written_as_if_whole(model, images, tmp_path, monkeypatch):
    monkeypatch.setattr(frozen_features, "PIECE", 7 * 32 * 32)
    pieces = list(training_views(images, 2, AUGMENT, seed=0))
    assert [len(piece) for piece in pieces] == [40, 7, 7, 7, 7, 7, 5]
    whole = [pieces[0], np.concatenate(pieces[1:])]
    for name, views in (("pieces", pieces), ("whole", whole)):
        write_pooled(model, tmp_path / f"{name}.npy", views, (2, 40), np.float32)
    of_pieces, of_whole = (np.load(tmp_path / f"{name}.npy") for name in ("pieces", "whole"))
    np.testing.assert_allclose(of_pieces, of_whole, rtol=1e-2, atol=1e-3)  # bfloat16 in batches of another size


def test_the_pieces_of_small_images_are_whole_views():
    images = np.zeros((45_000, 32, 32, 3), np.uint8)
    assert [view.shape for view in training_views(images, 2, AUGMENT, seed=0)] == [images.shape] * 2


def test_the_first_view_is_the_image_itself_and_the_others_differ(images):
    first, second, third = training_views(images, 3, AUGMENT, seed=0)
    np.testing.assert_array_equal(first, images)
    assert not np.array_equal(second, images)
    assert not np.array_equal(second, third)
