import csv
import json

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss

from stages.common.calibration import softmax
from stages.common.conditions import conditions
from stages.common.features import write_features
from stages.common.metrics import ece
from stages.common.model import Classifier, Head, save_classifier
from stages.common.predict import predict
from stages.common.saved import load_classifier
from stages.common.variants import VARIANTS
from stages.corrupt_eval import run

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
    (root / "results/calibration").mkdir(parents=True)
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
        (root / f"results/calibration/{variant}.json").write_text(json.dumps({"temperature": TEMPERATURE}))
        run(PARAMS, root, variant)
    return root


def table(root, variant):
    with (root / f"results/corruption/{variant}.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_table_has_a_row_for_every_condition(root):
    rows = table(root, "fc")
    assert list(rows[0]) == [
        "variant", "corruption", "group", "severity", "images", "accuracy", "nll_before", "nll_after", "ece_before",
        "ece_after", "ece_null_mean", "ece_null_upper",
    ]  # fmt: skip
    assert [
        {"corruption": row["corruption"], "group": row["group"], "severity": int(row["severity"])} for row in rows
    ] == CONDITIONS
    assert {(row["variant"], row["images"]) for row in rows} == {("fc", "15")}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("condition", [0, 4, 10])
def test_a_row_is_what_the_whole_model_yields_for_its_own_images(root, variant, condition):
    row = table(root, variant)[condition]
    logits = predict(load_classifier(root / f"models/{variant}.safetensors"), IMAGES[condition])
    assert float(row["accuracy"]) == accuracy_score(LABELS, logits.argmax(axis=1))
    for calibration, temperature in (("before", 1.0), ("after", TEMPERATURE)):
        probabilities = softmax(logits, temperature)
        # The features of fc and layer4 are float16, with 11 bits of precision.
        assert float(row[f"nll_{calibration}"]) == pytest.approx(log_loss(LABELS, probabilities), rel=2e-3)
        assert float(row[f"ece_{calibration}"]) == pytest.approx(ece(probabilities, LABELS, 15), abs=2e-3)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_row_says_which_images_were_right(root, variant):
    correct = np.load(root / f"results/corruption/{variant}_correct.npy")
    assert (correct.shape, correct.dtype) == (IMAGES.shape[:2], bool)
    assert [float(row["accuracy"]) for row in table(root, variant)] == pytest.approx(correct.mean(axis=1))
    logits = predict(load_classifier(root / f"models/{variant}.safetensors"), IMAGES[4])
    np.testing.assert_array_equal(correct[4], logits.argmax(axis=1) == LABELS)


def test_the_null_band_is_the_ece_of_labels_drawn_from_the_scaled_probabilities(root):
    row = table(root, "full")[3]
    probabilities = softmax(predict(load_classifier(root / "models/full.safetensors"), IMAGES[3]), TEMPERATURE)
    rng = np.random.default_rng(1)
    drawn = [ece(probabilities, np.array([rng.choice(3, p=each) for each in probabilities]), 15) for _ in range(400)]
    assert float(row["ece_null_mean"]) == pytest.approx(np.mean(drawn), rel=0.1)
    assert float(row["ece_null_upper"]) == pytest.approx(np.quantile(drawn, 0.95), rel=0.1)


def test_the_same_input_gives_the_same_bytes(root):
    path = root / "results/corruption/fc.csv"
    before = path.read_bytes()
    run(PARAMS, root, "fc")
    assert path.read_bytes() == before
