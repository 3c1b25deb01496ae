from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from netcal.metrics import ECE
from sklearn.metrics import accuracy_score, log_loss

from stages import corrupt
from stages.corrupt_eval import run
from study.corruption.conditions import conditions
from study.data.splits import Split, save_split
from study.evaluation.scores import ece
from study.evaluation.temperature import save_temperature, tempered_softmax
from study.networks.backbones import untrained
from study.networks.classifier import Classifier, Head, save_classifier
from study.networks.inference import predict
from study.networks.loading import load_classifier

VARIANTS = ("fc", "full")
TEMPERATURE = 2.0
CORRUPTIONS = ["fog", "occlusion"]
PARAMS = {
    "calibrate": {"bins": 15, "resamples": 200, "seed": 0},
    "corrupt_eval": {"corruptions": CORRUPTIONS, "images": 15, "seed": 0, "cifar10c_dir": None},
    "train": {"common": {"image_size": 32}},
}
CONDITIONS = conditions(CORRUPTIONS, official=False)


class Corrupted(NamedTuple):
    """What `corrupt` left: images, uint8 (conditions, N, H, W, 3), and labels; and whether answers mirror them."""

    images: np.ndarray
    labels: np.ndarray
    mirror: bool

    def logits(self, root, variant, condition):
        """What the whole model yields for an image, or on average for it and its mirror image."""
        model, images = load_classifier(root / f"models/{variant}.safetensors", mirror=False), self.images[condition]
        ways = [images, np.ascontiguousarray(images[:, :, ::-1])] if self.mirror else [images]
        return np.mean([predict(model, way) for way in ways], axis=0)


@pytest.fixture(scope="module", params=[False, True], ids=["alone", "mirror"])
def project(request, tmp_path_factory):
    """A project where both stages have run on an untrained model, as every variant, under 11 conditions."""
    root, params = tmp_path_factory.mktemp("project"), PARAMS | {"mirror": request.param}
    (root / "data/subset").mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (15, 32, 32, 3), dtype=np.uint8)
    save_split(Split(images, np.arange(15) % 3, np.arange(15)), root / "data/subset", "test")
    torch.manual_seed(0)
    model = Classifier(untrained("resnet18"), Head(hidden=[], dropout=0), ["a", "b", "c"], 32)
    with torch.no_grad():
        model.head[-1].weight *= 20  # or all probabilities would be near 1 / 3
    corrupt.run(params, root)
    for variant in VARIANTS:
        save_classifier(model, root / f"models/{variant}.safetensors")
        save_temperature(root, variant, TEMPERATURE)
        run(params, root, variant)
    folder = root / "data/corrupted"
    return root, Corrupted(np.load(folder / "images.npy"), np.load(folder / "labels.npy"), request.param)


@pytest.fixture(scope="module")
def root(project):
    return project[0]


@pytest.fixture(scope="module")
def seen(project):
    return project[1]


def table(root, variant):
    return pd.read_csv(root / f"results/corruption/{variant}/conditions.csv")


def test_the_table_has_a_row_for_every_condition(root):
    found = table(root, "fc")
    assert list(found) == [
        "variant", "corruption", "group", "severity", "images", "accuracy", "nll_before", "nll_after", "ece_before",
        "ece_after", "ece_null_mean", "ece_null_upper",
    ]  # fmt: skip
    assert found[["corruption", "group", "severity"]].to_dict("records") == CONDITIONS
    assert set(found["variant"]) == {"fc"} and set(found["images"]) == {15}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("condition", [0, 4, 10])
def test_a_row_is_what_the_whole_model_yields_for_its_own_images(root, seen, variant, condition):
    row = table(root, variant).loc[condition]
    logits = seen.logits(root, variant, condition)
    own = np.load(root / f"results/corruption/{variant}/logits.npy")[condition]  # rounded: confidences may change bins
    assert row["accuracy"] == accuracy_score(seen.labels, logits.argmax(axis=1))
    for calibration, temperature in (("before", 1.0), ("after", TEMPERATURE)):
        probabilities = tempered_softmax(logits, temperature)
        assert row[f"nll_{calibration}"] == pytest.approx(log_loss(seen.labels, probabilities), rel=2e-3)
        assert row[f"ece_{calibration}"] == pytest.approx(ece(tempered_softmax(own, temperature), seen.labels, 15))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_logits_behind_a_row_are_the_whole_model_s(root, seen, variant):
    for condition, logits in enumerate(np.load(root / f"results/corruption/{variant}/logits.npy")):
        np.testing.assert_allclose(logits, seen.logits(root, variant, condition), rtol=0, atol=0.01)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_row_says_which_images_were_right(root, seen, variant):
    correct = np.load(root / f"results/corruption/{variant}/correct.npy")
    assert (correct.shape, correct.dtype) == (seen.images.shape[:2], bool)
    assert table(root, variant)["accuracy"].tolist() == pytest.approx(correct.mean(axis=1))
    np.testing.assert_array_equal(correct[4], seen.logits(root, variant, 4).argmax(axis=1) == seen.labels)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_row_says_how_confident_the_scaled_answers_are(root, seen, variant):
    confidence, correct = (
        np.load(root / f"results/corruption/{variant}/{name}.npy") for name in ("confidence", "correct")
    )
    assert (confidence.shape, confidence.dtype) == (seen.images.shape[:2], np.float64)
    expected = tempered_softmax(seen.logits(root, variant, 4), TEMPERATURE).max(axis=1)
    np.testing.assert_allclose(confidence[4], expected, atol=2e-3)
    errors = [ECE(15).measure(*each) for each in zip(confidence, correct.astype(int), strict=True)]
    assert table(root, variant)["ece_after"].tolist() == pytest.approx(errors)


def test_the_null_band_is_the_ece_of_labels_drawn_from_the_scaled_probabilities(root, seen):
    row = table(root, "full").loc[3]
    probabilities = tempered_softmax(seen.logits(root, "full", 3), TEMPERATURE)
    rng = np.random.default_rng(1)
    drawn = [ece(probabilities, np.array([rng.choice(3, p=each) for each in probabilities]), 15) for _ in range(400)]
    assert row["ece_null_mean"] == pytest.approx(np.mean(drawn), rel=0.1)
    assert row["ece_null_upper"] == pytest.approx(np.quantile(drawn, 0.95), rel=0.1)


def test_the_same_input_gives_the_same_bytes(root, seen):
    def written():
        return {path.name: path.read_bytes() for path in (root / "results/corruption/fc").iterdir()}

    before = written()
    assert set(before) == {"conditions.csv", "confidence.npy", "correct.npy", "logits.npy"}
    run(PARAMS | {"mirror": seen.mirror}, root, "fc")
    assert written() == before
