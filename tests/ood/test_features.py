import numpy as np
import pytest
import torch

from study.networks import device
from study.networks.inference import predict
from study.ood.features import features_and_logits


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("bf16", [False, True])
def test_logits_are_the_same_as_without_features(model, images, monkeypatch, mirror, bf16):
    monkeypatch.setattr(device, "has_native_bf16", lambda: bf16)
    model.mirror = mirror
    _, logits = features_and_logits(model, images, batch_size=15)
    np.testing.assert_array_equal(logits, predict(model, images, batch_size=15))


def test_features_are_what_the_head_takes_and_with_mirror_the_mean_over_both_ways(model, images, monkeypatch):
    monkeypatch.setattr(device, "has_native_bf16", lambda: False)
    features, logits = features_and_logits(model, images)
    assert (features.shape, features.dtype) == ((40, 512), np.float32)
    with torch.inference_mode():
        np.testing.assert_allclose(model.head(torch.from_numpy(features)), logits, atol=1e-5)
    mirrored, _ = features_and_logits(model, np.ascontiguousarray(images[:, :, ::-1]))
    model.mirror = True
    both, _ = features_and_logits(model, images)
    np.testing.assert_allclose(both, (features + mirrored) / 2, atol=1e-5)
    assert not np.allclose(both, features, atol=1e-3)


@pytest.mark.parametrize(("mirror", "passes"), [(False, 3), (True, 6)])
def test_each_batch_and_view_takes_one_pass(model, images, mirror, passes):
    model.mirror, seen = mirror, []
    model.stage("stem").register_forward_hook(lambda *_: seen.append(1))
    features_and_logits(model, images, batch_size=15)
    assert len(seen) == passes


def test_dropout_and_batch_norm_are_in_evaluation_mode(model, images):
    expected = features_and_logits(model, images)
    for found, part in zip(features_and_logits(model.train(), images), expected, strict=True):
        np.testing.assert_array_equal(found, part)
