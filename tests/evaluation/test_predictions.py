import numpy as np
import pytest

from study.evaluation.predictions import load_predictions
from study.pipeline.params import Refusal


def save(root, logits, labels):
    (root / "results/predictions").mkdir(parents=True)
    np.savez(
        root / "results/predictions/fc.npz",
        val_logits=logits,
        val_labels=labels,
        test_logits=np.zeros((1, 10), np.float32),
        test_labels=np.zeros(1, np.int64),
    )


def test_each_split_comes_back_as_it_was_saved(tmp_path):
    logits, labels = np.arange(40, dtype=np.float32).reshape(4, 10), np.arange(4)
    save(tmp_path, logits, labels)
    val = load_predictions(tmp_path, "fc", "val", classes=10)
    assert val.logits.dtype == np.float32
    assert np.array_equal(val.logits, logits)
    assert np.array_equal(val.labels, labels)
    assert load_predictions(tmp_path, "fc", "test", classes=10).logits.shape == (1, 10)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_refused_with_their_number(tmp_path, value):
    logits = np.zeros((4, 10), np.float32)
    logits[1, 3:5] = value
    save(tmp_path, logits, np.arange(4))
    with pytest.raises(Refusal, match=r"fc.npz: logits of 1 of 4 val images are not finite.*lower train.fc.lr$"):
        load_predictions(tmp_path, "fc", "val", classes=10)


@pytest.mark.parametrize(("logits", "labels"), [((4, 9), (4,)), ((3, 10), (4,)), ((4,), (4,)), ((4, 10), (4, 1))])
def test_shapes_that_do_not_fit_are_refused_with_both(tmp_path, logits, labels):
    save(tmp_path, np.zeros(logits, np.float32), np.zeros(labels, np.int64))
    with pytest.raises(Refusal) as refusal:
        load_predictions(tmp_path, "fc", "val", classes=10)
    assert f"val_logits {logits} and val_labels {labels} should be (N, 10) and (N,)" in str(refusal.value)
