import numpy as np
import torch

from study.features import frozen_features
from study.features.augment import Augment
from study.features.frozen_features import load_features, training_views, write_features
from study.networks.device import autocast

AUGMENT = Augment(crop_flip=True, randaugment=False, cutout=False, augmix=False)


def test_features_are_what_the_frozen_parts_yield(model, images, tmp_path):
    folder, subset = tmp_path / "data/features", tmp_path / "data/subset"
    folder.mkdir(parents=True)
    subset.mkdir()
    labels = np.arange(len(images)) % 3
    for split, count, dtype in (("train", 2, np.float16), ("val", 1, np.float32)):
        write_features(model, folder, split, training_views(images, count, AUGMENT, 0), (count, len(images)), dtype)
        np.savez(subset / f"{split}.npz", images=images, labels=labels)

    with torch.no_grad(), autocast():
        activations = model.trunk(model.preprocess(torch.from_numpy(images)))
        activations, pooled = activations.float(), model.tail(activations).float()
    trunk, features = load_features(tmp_path, "trunk"), load_features(tmp_path, "pooled")
    for (train, val), expected in ((trunk, activations), (features, pooled)):
        np.testing.assert_allclose(val.inputs, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(train.inputs[0], expected, rtol=2e-3, atol=1e-3)  # float16
        assert (train.inputs.shape, train.inputs.dtype) == ((2, *expected.shape), np.float16)
        for split in (train, val):
            np.testing.assert_array_equal(split.labels, labels)
    assert trunk[0].inputs.shape == (2, 40, 256, 2, 2)


def test_large_views_come_in_pieces_and_are_written_as_if_whole(model, images, tmp_path, monkeypatch):
    monkeypatch.setattr(frozen_features, "PIECE", 7 * 32 * 32)
    pieces = list(training_views(images, 2, AUGMENT, seed=0))
    assert [len(piece) for piece in pieces] == [40, 7, 7, 7, 7, 7, 5]
    whole = [pieces[0], np.concatenate(pieces[1:])]
    for name, views in (("pieces", pieces), ("whole", whole)):
        write_features(model, tmp_path, name, iter(views), (2, 40), np.float32)
    for kind in ("trunk", "pooled"):
        of_pieces, of_whole = (np.load(tmp_path / f"{kind}_{name}.npy") for name in ("pieces", "whole"))
        np.testing.assert_allclose(of_pieces, of_whole, rtol=1e-2, atol=1e-3)  # bfloat16 in batches of another size


def test_the_pieces_of_small_images_are_whole_views():
    images = np.zeros((45_000, 32, 32, 3), np.uint8)
    assert [view.shape for view in training_views(images, 2, AUGMENT, seed=0)] == [images.shape] * 2


def test_the_first_view_is_the_image_itself_and_the_others_differ(images):
    first, second, third = training_views(images, 3, AUGMENT, seed=0)
    np.testing.assert_array_equal(first, images)
    assert not np.array_equal(second, images)
    assert not np.array_equal(second, third)
