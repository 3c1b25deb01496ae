import json

import numpy as np
import pandas as pd
import pytest

from stages.conformal import run
from study.conformal.prediction_sets import coverage_interval, threshold
from study.data.splits import Facts, save_facts
from study.evaluation.temperature import tempered_softmax
from study.pipeline.files import write_json

CLASSES = ["plane", "bird", "cat"]
BLOCK = {"coverages": [0.8, 0.9], "error_rates": [0.3], "seed": 0}
CONDITIONS = [("clean", "clean", 0), ("fog", "benchmark", 3)]
VAL, TEST, CORRUPTED = 300, 500, 40


def drawn(rng, *shape):
    """Logits (*shape, 3), and labels drawn from their softmax for the first axis but one."""
    logits = rng.normal(0, 2, (*shape, 3)).astype(np.float32)
    odds = tempered_softmax(logits.reshape(-1, shape[-1], 3)[0])
    labels = (rng.random((shape[-1], 1)) > odds.cumsum(axis=1)).sum(axis=1)
    return logits, labels


@pytest.fixture
def root(tmp_path):
    """A project with the made-up logits of a variant: on val, on test, and on 40 images clean and in fog."""
    rng = np.random.default_rng(0)
    predictions = {}
    for split, images in (("val", VAL), ("test", TEST)):
        predictions[f"{split}_logits"], predictions[f"{split}_labels"] = drawn(rng, images)
    logits, labels = drawn(rng, 2, CORRUPTED)
    corruption = tmp_path / "results/corruption/fc"
    for folder in (tmp_path / "results/predictions", corruption, tmp_path / "data/corrupted"):
        folder.mkdir(parents=True)
    np.savez(tmp_path / "results/predictions/fc.npz", **predictions)
    np.save(corruption / "logits.npy", logits)
    np.save(tmp_path / "data/corrupted/labels.npy", labels)
    conditions = [{"corruption": name, "group": group, "severity": severity} for name, group, severity in CONDITIONS]
    write_json(tmp_path / "data/corrupted/conditions.json", conditions)
    save_facts(Facts("made up", CLASSES, mirrors=True), tmp_path / "data/subset")
    return tmp_path


def measured(root, block=BLOCK):
    run({"conformal": block}, root, "fc")
    folder = root / "results/conformal/fc"
    metrics = json.loads((folder / "metrics.json").read_text())
    return metrics, pd.read_csv(folder / "sets.csv"), pd.read_csv(folder / "answers.csv")


def test_coverage_on_the_test_images_is_in_its_exact_interval(root):
    metrics, _, _ = measured(root)
    assert metrics["calibration_images"] == VAL
    assert [(row["score"], row["target"]) for row in metrics["sets"]] == [
        ("lac", 0.8), ("lac", 0.9), ("aps", 0.8), ("aps", 0.9), ("lac_by_class", 0.8), ("lac_by_class", 0.9)
    ]  # fmt: skip
    for row in metrics["sets"][:4]:
        low, high = coverage_interval(VAL, row["target"], TEST)
        assert row["expected"] == {"level": 0.99, "low": low, "high": high}
        assert low <= row["coverage"] <= high


def test_lac_sets_are_the_classes_above_a_probability(root):
    metrics, _, _ = measured(root)
    with np.load(root / "results/predictions/fc.npz") as file:
        probabilities, labels = tempered_softmax(file["test_logits"]), file["test_labels"]
    lac = metrics["sets"][1]
    chosen = probabilities >= 1 - lac["threshold"]
    covered = chosen[np.arange(TEST), labels]
    assert lac["coverage"] == covered.mean() and lac["size"] == chosen.sum(axis=1).mean()
    assert lac["of_class"] == {
        name: pytest.approx(covered[labels == label].mean()) for label, name in enumerate(CLASSES)
    }


def test_with_a_threshold_for_each_class_each_class_is_covered_as_its_own_images_promise(root):
    metrics, _, _ = measured(root)
    row = metrics["sets"][5]
    with np.load(root / "results/predictions/fc.npz") as file:
        val, labels = tempered_softmax(file["val_logits"]), file["val_labels"]
        probabilities, truth = tempered_softmax(file["test_logits"]), file["test_labels"]
    scores = 1 - val[np.arange(len(labels)), labels]
    for label, name in enumerate(CLASSES):
        expected = threshold(scores[labels == label], 0.9)
        assert row["threshold_of_class"][name] == (expected if np.isfinite(expected) else None)
        covered = 1 - probabilities[truth == label, label] <= expected
        assert row["of_class"][name] == pytest.approx(covered.mean())
        low, high = coverage_interval(int((labels == label).sum()), 0.9, int((truth == label).sum()))
        assert low <= covered.mean() <= high
    assert "threshold" not in row and "expected" not in row


def test_the_scores_that_travel_with_the_model_give_the_threshold_of_any_level(root):
    metrics, _, _ = measured(root)
    scores = np.load(root / "results/conformal/fc/scores.npy")
    assert len(scores) == VAL and (np.diff(scores) >= 0).all()
    for row in metrics["sets"][:2]:
        assert row["threshold"] == threshold(scores, row["target"])


def test_conditions_keep_the_thresholds_of_val(root):
    metrics, sets, answers = measured(root)
    assert list(sets) == [
        "variant", "corruption", "group", "severity", "images",
        "score", "target", "coverage", "size", "singletons", "empty",
    ]  # fmt: skip
    logits, labels = (
        np.load(root / path) for path in ("results/corruption/fc/logits.npy", "data/corrupted/labels.npy")
    )
    fog = tempered_softmax(logits[1])
    row = sets[(sets["corruption"] == "fog") & (sets["score"] == "lac") & (sets["target"] == 0.8)].iloc[0]
    assert row["size"] == (fog >= 1 - metrics["sets"][0]["threshold"]).sum(axis=1).mean()
    answered = fog.max(axis=1) >= metrics["answers"][0]["threshold"]
    row = answers[answers["corruption"] == "fog"].iloc[0]
    assert row["answered"] == answered.mean()
    assert row["wrong"] == pytest.approx((fog.argmax(axis=1) != labels)[answered].mean())


def test_what_cannot_be_promised_answers_nothing(root):
    metrics, sets, answers = measured(root, BLOCK | {"coverages": [0.999], "error_rates": [0.0001]})
    assert metrics["sets"][0]["threshold"] is None and metrics["sets"][0]["size"] == len(CLASSES)
    assert metrics["answers"][0]["threshold"] is None and metrics["answers"][0]["answered"] == 0
    assert (sets["coverage"] == 1).all() and answers["wrong"].isna().all()
