import numpy as np
import torch

from study.networks import device
from study.networks.inference import predict


def test_predictions_do_not_depend_on_the_batch_size(model, images, monkeypatch):
    monkeypatch.setattr(device, "has_native_bf16", lambda: False)
    whole = model(torch.from_numpy(images)).detach().numpy()
    np.testing.assert_allclose(predict(model, images, batch_size=7), whole, rtol=1e-4, atol=1e-5)


def test_in_bfloat16_predictions_differ_by_its_rounding(model, images, monkeypatch):
    monkeypatch.setattr(device, "has_native_bf16", lambda: True)  # emulated elsewhere
    exact = model(torch.from_numpy(images)).detach().numpy()
    predicted = predict(model, images, batch_size=7)
    assert predicted.dtype == np.float32
    assert 0 < np.abs(predicted - exact).max() < 0.05 * np.abs(exact).max()


def test_dropout_and_batch_norm_are_in_evaluation_mode(model, images):
    expected = predict(model, images)
    np.testing.assert_array_equal(predict(model.train(), images), expected)
