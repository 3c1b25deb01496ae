"""A share of the test images, for what is too slow to be measured on all of them."""

import numpy as np
from sklearn.utils import resample

from stages.common.params import Refusal


def draw_rows(labels: np.ndarray, count: int, seed: int, key: str) -> np.ndarray:
    """`count` rows of the test split, each at most once, with the classes in proportion: int64 (count,).

    labels: (N,), the split's; key: the parameter that asks for so many, "adversarial.images", say.
    Raises Refusal, naming it, when the split has fewer.
    """
    if count > len(labels):
        raise Refusal(
            f"params.yaml: {key} = {count}: the test split has {len(labels)} images; lower it or raise data.test"
        )
    rows = np.arange(len(labels))
    return resample(rows, replace=False, n_samples=count, stratify=labels, random_state=seed)
