import json

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss

from stages.corrupt_eval import run
from study.corruption.conditions import conditions
from study.evaluation.scores import ece
from study.evaluation.temperature import save_temperature, tempered_softmax
from study.features.frozen_features import write_features
from study.networks.classifier import Classifier, Head, save_classifier
from study.networks.inference import predict
from study.networks.loading import load_classifier
from study.pipeline.variants import VARIANTS

TEMPERATURE = 2.0
PARAMS = {"calibrate": {"bins": 15, "resamples": 200, "seed": 0}}
CONDITIONS = conditions(["fog", "occlusion"], official=False)
IMAGES = np.random.default_rng(0).integers(0, 256, (len(CONDITIONS), 15, 32, 32, 3), dtype=np.uint8)
LABELS = np.repeat(np.arange(3), 5)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A project where the stage has run on an untrained model, as every variant, under 11 conditions."""
    root = tmp_path_factory.mktemp("project")
    folder = root / "data/corrupted"
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    model = Classifier(Head(hidden=[], dropout=0), ["a", "b", "c"], 32).eval()
    with torch.no_grad():
        model.head[-1].weight *= 5  # or all probabilities would be near 1 / 3
    np.save(folder / "images.npy", IMAGES)
    np.save(folder / "labels.npy", LABELS)
    (folder / "conditions.json").write_text(json.dumps(CONDITIONS))
    write_features(model, folder, "corrupted", iter(IMAGES), IMAGES.shape[:2], np.float16)
    for variant in VARIANTS:
        save_classifier(model, root / f"models/{variant}.safetensors")
        save_temperature(root, variant, TEMPERATURE)
        run(PARAMS, root, variant)
    return root


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
def test_a_row_is_what_the_whole_model_yields_for_its_own_images(root, variant, condition):
    row = table(root, variant).loc[condition]
    logits = predict(load_classifier(root / f"models/{variant}.safetensors"), IMAGES[condition])
    assert row["accuracy"] == accuracy_score(LABELS, logits.argmax(axis=1))
    for calibration, temperature in (("before", 1.0), ("after", TEMPERATURE)):
        probabilities = tempered_softmax(logits, temperature)
        # The features of fc and layer4 are float16, with 11 bits of precision.
        assert row[f"nll_{calibration}"] == pytest.approx(log_loss(LABELS, probabilities), rel=2e-3)
        assert row[f"ece_{calibration}"] == pytest.approx(ece(probabilities, LABELS, 15), abs=2e-3)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_row_says_which_images_were_right(root, variant):
    correct = np.load(root / f"results/corruption/{variant}/correct.npy")
    assert (correct.shape, correct.dtype) == (IMAGES.shape[:2], bool)
    assert table(root, variant)["accuracy"].tolist() == pytest.approx(correct.mean(axis=1))
    logits = predict(load_classifier(root / f"models/{variant}.safetensors"), IMAGES[4])
    np.testing.assert_array_equal(correct[4], logits.argmax(axis=1) == LABELS)


def test_the_null_band_is_the_ece_of_labels_drawn_from_the_scaled_probabilities(root):
    row = table(root, "full").loc[3]
    probabilities = tempered_softmax(predict(load_classifier(root / "models/full.safetensors"), IMAGES[3]), TEMPERATURE)
    rng = np.random.default_rng(1)
    drawn = [ece(probabilities, np.array([rng.choice(3, p=each) for each in probabilities]), 15) for _ in range(400)]
    assert row["ece_null_mean"] == pytest.approx(np.mean(drawn), rel=0.1)
    assert row["ece_null_upper"] == pytest.approx(np.quantile(drawn, 0.95), rel=0.1)


def test_the_same_input_gives_the_same_bytes(root):
    def written():
        return {path.name: path.read_bytes() for path in (root / "results/corruption/fc").iterdir()}

    before = written()
    assert set(before) == {"conditions.csv", "correct.npy"}
    run(PARAMS, root, "fc")
    assert written() == before
