import numpy as np
from sklearn.datasets import load_digits

from study.sources.digits import load


def test_digits_are_scikit_learns_enlarged_and_split_once_for_all():
    raw = load()
    assert raw.train_images.shape == (1437, 32, 32, 3) and raw.test_images.shape == (360, 32, 32, 3)
    assert raw.train_images.dtype == np.uint8 and raw.train_labels.dtype == np.int64
    assert raw.train_images.max() == 255  # 16, the darkest ink
    assert raw.facts.classes == ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
    everything = np.bincount(np.concatenate([raw.train_labels, raw.test_labels]))
    np.testing.assert_array_equal(everything, np.bincount(load_digits().target))
    np.testing.assert_allclose(np.bincount(raw.test_labels), everything * 360 / 1797, atol=1)
    again = load()
    np.testing.assert_array_equal(raw.test_images, again.test_images)


def test_digits_keep_their_brightness_when_enlarged():
    raw = load()
    images = np.concatenate([raw.train_images, raw.test_images])
    blocks = images[..., 0].reshape(-1, 8, 4, 8, 4).mean((2, 4))
    expected = load_digits().images * 255 / 16
    np.testing.assert_allclose(blocks.mean(), expected.mean(), rtol=0.02)
