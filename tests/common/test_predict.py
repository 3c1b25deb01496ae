import numpy as np
import torch

from stages.common.predict import predict


def test_predictions_do_not_depend_on_the_batch_size(model, images):
    whole = model(torch.from_numpy(images)).detach().numpy()
    np.testing.assert_allclose(predict(model, images, batch_size=7), whole, rtol=1e-4, atol=1e-5)


def test_dropout_and_batch_norm_are_in_evaluation_mode(model, images):
    expected = predict(model, images)
    np.testing.assert_array_equal(predict(model.train(), images), expected)
