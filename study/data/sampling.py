"""A sample of the test images, for measurements that are too slow to run on all of them."""

import numpy as np
from sklearn.utils import resample

from study.pipeline.params import Refusal


def draw_rows(labels: np.ndarray, count: int, seed: int, key: str) -> np.ndarray:
    """Draw `count` rows of the test split without replacement, stratified by class: int64 (count,).

    labels: (N,), the split's; key: the parameter that sets `count`, such as "adversarial.images".
    Raises Refusal, naming the parameter, when the split has fewer images.
    """
    if count > len(labels):
        raise Refusal(
            f"params.yaml: {key} = {count}: the test split has {len(labels)} images; lower it or raise data.test"
        )
    rows = np.arange(len(labels))
    drawn: np.ndarray = resample(rows, replace=False, n_samples=count, stratify=labels, random_state=seed)
    return drawn
