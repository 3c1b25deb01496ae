import numpy as np
import pytest
import torch

from stages.predict import run
from study.data.splits import Split, save_split
from study.networks.classifier import Classifier, Head, save_classifier
from study.networks.loading import light_backbone, load_classifier

PARAMS = {"mirror": True}


@pytest.fixture
def root(tmp_path, images, model):
    """A project with untrained models of `fc` and `scratch`, and splits of 11 and 29 images."""
    (tmp_path / "data/subset").mkdir(parents=True)
    for name, rows in (("calibration", slice(0, 11)), ("test", slice(11, 40))):
        save_split(Split(images[rows], np.arange(40)[rows] % 3, np.arange(40)[rows]), tmp_path / "data/subset", name)
    save_classifier(model, tmp_path / "models/fc.safetensors")
    light = Classifier(light_backbone(), Head(hidden=[], dropout=0.0), ["plane", "bird", "cat"], 32)
    save_classifier(light, tmp_path / "models/scratch.safetensors")
    return tmp_path


def predictions(root, variant, params=PARAMS):
    run(params, root, variant)
    with np.load(root / f"results/predictions/{variant}.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("variant", ["fc", "scratch"])
def test_the_logits_are_the_model_s_on_calibration_and_test(root, images, variant, mirror):
    found = predictions(root, variant, {"mirror": mirror})
    assert list(found) == ["val_logits", "val_labels", "test_logits", "test_labels"]
    model = load_classifier(root / f"models/{variant}.safetensors", mirror)
    with torch.inference_mode():
        val, test = model(torch.from_numpy(images[:11])), model(torch.from_numpy(images[11:]))
    scale = test.abs().max().item()
    np.testing.assert_allclose(found["val_logits"], val, atol=0.02 * scale)  # bfloat16 where that is native
    np.testing.assert_allclose(found["test_logits"], test, atol=0.02 * scale)
    assert found["val_logits"].dtype == found["test_logits"].dtype == np.float32


def test_the_labels_are_those_of_the_splits(root):
    found = predictions(root, "fc")
    np.testing.assert_array_equal(found["val_labels"], np.arange(11) % 3)
    np.testing.assert_array_equal(found["test_labels"], np.arange(11, 40) % 3)


def test_the_same_model_gives_the_same_bytes_and_writes_nothing_else(root):
    def written():
        run(PARAMS, root, "fc")
        return (root / "results/predictions/fc.npz").read_bytes()

    assert written() == written()
    assert [path.name for path in (root / "results").rglob("*")] == ["predictions", "fc.npz"]
