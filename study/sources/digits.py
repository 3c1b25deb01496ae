"""scikit-learn's handwritten digits, which need no download."""

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from study.data.splits import Raw
from study.sources.stratified_draw import POOLS


def load() -> Raw:
    """The 1,797 digits, 8x8 in 17 grey levels, as 32x32 RGB images. A stratified 360 of them are the test images."""
    bunch = load_digits()
    images = np.stack([_enlarge(image) for image in bunch.images])
    train_images, test_images, train_labels, test_labels = train_test_split(
        images, bunch.target.astype(np.int64), test_size=POOLS["digits"][1], stratify=bunch.target, random_state=0
    )
    return Raw.without_val(
        (train_images, train_labels), (test_images, test_labels), [str(name) for name in bunch.target_names]
    )


def _enlarge(image: np.ndarray) -> np.ndarray:
    grey = np.round(image * (255 / 16)).astype(np.uint8)
    return np.asarray(Image.fromarray(grey).resize((32, 32), Image.Resampling.BILINEAR).convert("RGB"))
