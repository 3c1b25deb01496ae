import csv
import json

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss

from stages.common.calibration import softmax
from stages.common.corruption import corrupt
from stages.common.model import Classifier, Head, load_classifier, save_classifier
from stages.common.params import Refusal
from stages.common.predict import predict
from stages.corrupt_eval import run

TEMPERATURE = 2.0
PARAMS = {
    "corrupt_eval": {"corruptions": ["jpeg_compression", "contrast"], "images": 15, "seed": 0},
    "calibrate": {"bins": 15},
}
IMAGES = np.random.default_rng(0).integers(0, 256, (15, 32, 32, 3), dtype=np.uint8)
LABELS = np.repeat(np.arange(3), 5)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A project where the stage has run on an untrained `fc` and all of a test split of 15 images in 3 classes."""
    root = tmp_path_factory.mktemp("project")
    torch.manual_seed(0)
    save_classifier(Classifier(Head(hidden=[], dropout=0), ["a", "b", "c"], 32), root / "models/fc.safetensors")
    (root / "data/subset").mkdir(parents=True)
    np.savez(root / "data/subset/test.npz", images=IMAGES, labels=LABELS, indices=np.arange(15))
    (root / "results/calibration").mkdir(parents=True)
    (root / "results/calibration/fc.json").write_text(json.dumps({"temperature": TEMPERATURE}))
    run(PARAMS, root, "fc")
    return root


def with_block(**change):
    return PARAMS | {"corrupt_eval": PARAMS["corrupt_eval"] | change}


def table(root):
    with (root / "results/corruption/fc.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_table_has_the_clean_images_once_and_every_corruption_at_five_severities(root):
    rows = table(root)
    assert [(row["corruption"], int(row["severity"])) for row in rows] == [
        ("clean", 0),
        *[("jpeg_compression", severity) for severity in range(1, 6)],
        *[("contrast", severity) for severity in range(1, 6)],
    ]
    assert list(rows[0]) == [
        "variant", "corruption", "severity", "images", "accuracy", "nll_before", "nll_after", "ece_before", "ece_after"
    ]  # fmt: skip
    assert {(row["variant"], row["images"]) for row in rows} == {("fc", "15")}


@pytest.mark.parametrize(("corruption", "severity"), [("clean", 0), ("jpeg_compression", 1), ("contrast", 5)])
def test_a_row_is_measured_on_its_own_corrupted_images(root, corruption, severity):
    (row,) = [row for row in table(root) if (row["corruption"], row["severity"]) == (corruption, str(severity))]
    seen = corrupt(IMAGES, corruption, severity, seed=0) if severity else IMAGES
    logits = predict(load_classifier(root / "models/fc.safetensors"), seen)
    assert float(row["accuracy"]) == accuracy_score(LABELS, logits.argmax(axis=1))
    assert float(row["nll_before"]) == pytest.approx(log_loss(LABELS, softmax(logits)), rel=1e-4)
    assert float(row["nll_after"]) == pytest.approx(log_loss(LABELS, softmax(logits, TEMPERATURE)), rel=1e-4)


def test_the_temperature_moves_the_calibration_of_every_row(root):
    assert all(row["ece_before"] != row["ece_after"] for row in table(root))


def test_fewer_images_are_drawn_stratified_and_by_the_seed(root, monkeypatch):
    drawn = []
    monkeypatch.setattr("stages.corrupt_eval.write_table", lambda path, rows: None)
    monkeypatch.setattr("stages.corrupt_eval.nll", lambda logits, labels, *_: drawn.append(labels) or 0.0)
    monkeypatch.setattr("stages.corrupt_eval.predict", lambda model, seen: drawn.append(seen) or np.zeros((12, 3)))

    def draw(seed):
        drawn.clear()
        run(with_block(images=12, seed=seed), root, "fc")
        return drawn[:2]

    (seen, labels), (again, _), (other, _) = draw(0), draw(0), draw(1)
    assert np.bincount(labels).tolist() == [4, 4, 4]
    np.testing.assert_array_equal(seen, again)
    assert (seen != other).any()


def test_more_images_than_there_are_is_refused_in_one_line_and_the_table_stays(root):
    before = table(root)
    with pytest.raises(Refusal, match=r"^params.yaml: corrupt_eval.images = 16: the test split has 15; [^\n]+$"):
        run(with_block(images=16), root, "fc")
    assert table(root) == before
