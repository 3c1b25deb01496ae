"""scikit-learn's handwritten digits, which need no download."""

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from study.data.splits import Facts, Raw
from study.sources.published import Published

FACTS = Facts("handwritten digits", [str(digit) for digit in range(10)], mirrors=False)
SIDE, TRAIN, TEST = 32, 1_437, 360  # pixels, images, images


def load() -> Raw:
    """The 1,797 digits, 8x8 in 17 grey levels, as 32x32 RGB images. A stratified 360 of them are the test images."""
    bunch = load_digits()
    images = np.stack([_enlarge(image) for image in bunch.images])
    train_images, test_images, train_labels, test_labels = train_test_split(
        images, bunch.target.astype(np.int64), test_size=TEST, stratify=bunch.target, random_state=0
    )
    return Raw.without_val((train_images, train_labels), (test_images, test_labels), FACTS)


def _enlarge(image: np.ndarray) -> np.ndarray:
    grey = np.round(image * (255 / 16)).astype(np.uint8)
    return np.asarray(Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.BILINEAR).convert("RGB"))


DATASET = Published(lambda _root: load(), FACTS, SIDE, TRAIN, TEST)
