import json

import numpy as np
import pandas as pd
import pytest
from netcal.metrics import ECE, MCE
from sklearn.metrics import brier_score_loss, f1_score, log_loss

from stages.calibrate import run
from study.data.splits import Facts, save_facts
from study.evaluation.temperature import HIGHEST, tempered_softmax
from study.pipeline.params import Refusal

CLASSES = [f"class {digit}" for digit in range(10)]
PARAMS = {"calibrate": {"bins": 15, "resamples": 100, "seed": 0}}


@pytest.fixture
def root(tmp_path):
    """A project whose variant `fc` is over-confident: its labels are drawn at temperature 2."""
    (tmp_path / "data/subset").mkdir(parents=True)
    save_facts(Facts("made up", CLASSES, mirrors=True), tmp_path / "data/subset")
    save_train_labels(tmp_path, np.arange(50) % 10)
    save_predictions(tmp_path, **drawn_at(2))
    return tmp_path


def drawn_at(temperature):
    rng = np.random.default_rng(0)
    arrays = {}
    for split, images in (("val", 400), ("test", 600)):
        logits = rng.normal(0, 6, (images, 10)).astype(np.float32)
        arrays[f"{split}_logits"] = logits
        uniform = rng.random((images, 1))
        arrays[f"{split}_labels"] = (tempered_softmax(logits, temperature).cumsum(axis=1) < uniform).sum(axis=1)
    return arrays


def save_train_labels(root, labels):
    np.savez(root / "data/subset/train.npz", labels=labels)


def save_predictions(root, **arrays):
    path = root / "results/predictions/fc.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)


def result(root):
    return json.loads((root / "results/calibration/fc/metrics.json").read_text())


def table(root, name):
    return pd.read_csv(root / f"results/calibration/fc/{name}.csv")


def test_the_temperature_is_fitted_on_val_and_measured_on_test(root):
    run(PARAMS, root, "fc")
    arrays, measured = drawn_at(2), result(root)
    assert measured["temperature"] == pytest.approx(2, rel=0.1)
    for calibration, temperature in (("before", 1), ("after", measured["temperature"])):
        probabilities = tempered_softmax(arrays["test_logits"], temperature)
        scores = measured[calibration]
        assert scores["nll"] == pytest.approx(log_loss(arrays["test_labels"], probabilities))
        assert scores["brier"] == pytest.approx(
            brier_score_loss(arrays["test_labels"], probabilities, scale_by_half=False)
        )
        assert scores["ece"] == pytest.approx(ECE(15).measure(probabilities, arrays["test_labels"]))
        assert scores["ece_equal_mass"] == pytest.approx(
            ECE(15, equal_intervals=False).measure(probabilities, arrays["test_labels"])
        )
        assert scores["mce"] == pytest.approx(MCE(15).measure(probabilities, arrays["test_labels"]))
        assert scores["macro_f1"] == pytest.approx(
            f1_score(arrays["test_labels"], probabilities.argmax(axis=1), average="macro")
        )


def test_scaling_improves_the_probabilities_and_leaves_the_predictions(root):
    run(PARAMS, root, "fc")
    before, after = result(root)["before"], result(root)["after"]
    assert all(after[name] < before[name] for name in ("nll", "brier", "ece"))
    kept = ("accuracy", "macro_precision", "macro_recall", "macro_f1")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}


def test_every_measure_is_reported_before_and_after(root):
    run(PARAMS, root, "fc")
    scalars = ["accuracy", "nll", "brier", "ece", "ece_equal_mass", "smece", "classwise_ece", "mce", "aurc"]
    macro = ["macro_precision", "macro_recall", "macro_f1"]
    for calibration in ("before", "after"):
        scores = result(root)[calibration]
        assert list(scores) == [*scalars, "risk_at_coverage", *macro, "null"]
        assert all(0 < scores[name] < 2 for name in scalars + macro)
        assert list(scores["risk_at_coverage"]) == ["0.7", "0.8", "0.9", "1.0"]
        assert scores["risk_at_coverage"]["1.0"] == pytest.approx(1 - scores["accuracy"])


def test_the_risk_is_lower_the_more_images_are_left_to_others(root):
    run(PARAMS, root, "fc")
    risks = list(result(root)["after"]["risk_at_coverage"].values())
    assert risks == sorted(risks)
    arrays = drawn_at(2)
    probabilities, labels = tempered_softmax(arrays["test_logits"], result(root)["temperature"]), arrays["test_labels"]
    kept = np.argsort(-probabilities.max(axis=1))[:540]
    assert risks[2] == pytest.approx(np.mean(probabilities.argmax(axis=1)[kept] != labels[kept]))


def test_scaling_brings_every_calibration_error_into_its_null_band(root):
    run(PARAMS, root, "fc")
    before, after = result(root)["before"], result(root)["after"]
    for name in ("ece", "ece_equal_mass", "smece"):
        assert before[name] > before["null"][name]["upper"] > before["null"][name]["mean"]
        assert after[name] < after["null"][name]["upper"]


def test_every_difference_is_after_minus_before_and_lies_in_its_interval(root):
    run(PARAMS, root, "fc")
    measured = result(root)
    names = ["nll", "brier", "ece", "ece_equal_mass", "smece", "classwise_ece", "mce", "aurc"]
    assert list(measured["differences"]) == names
    for name, change in measured["differences"].items():
        assert change["difference"] == pytest.approx(measured["after"][name] - measured["before"][name])
        assert change["low"] < change["difference"] < change["high"]
    assert all(measured["differences"][name]["high"] < 0 for name in ("nll", "brier", "ece", "smece"))


def test_accuracy_has_an_interval(root):
    run(PARAMS, root, "fc")
    intervals, accuracy = result(root)["intervals"], result(root)["after"]["accuracy"]
    assert (intervals["level"], intervals["resamples"]) == (0.95, 100)
    margin = 1.96 * np.sqrt(accuracy * (1 - accuracy) / 600)
    assert intervals["accuracy"]["low"] == pytest.approx(accuracy - margin, abs=margin / 2)
    assert intervals["accuracy"]["high"] == pytest.approx(accuracy + margin, abs=margin / 2)


def test_the_look_alikes_of_cifar10_are_always_reported(root):
    names = ["cat", "dog", "automobile", "truck", "bird", "airplane", "deer", "frog", "horse", "ship"]
    save_facts(Facts("made up", names, mirrors=True), root / "data/subset")
    run(PARAMS, root, "fc")
    rows = result(root)["confusable"]
    assert [(row["true"], row["predicted"]) for row in rows[:2]] == [("cat", "dog"), ("dog", "cat")]
    assert len(rows) == 6
    arrays = drawn_at(2)
    cats = arrays["test_logits"].argmax(axis=1)[arrays["test_labels"] == 0]
    assert (rows[0]["count"], rows[0]["rate"]) == (np.sum(cats == 1), pytest.approx(np.mean(cats == 1)))


def test_other_classes_have_no_look_alikes(root):
    run(PARAMS, root, "fc")
    assert result(root)["confusable"] == []


def test_the_test_labels_have_no_say_in_the_temperature(root):
    run(PARAMS, root, "fc")
    fitted = result(root)["temperature"]
    arrays = drawn_at(2)
    save_predictions(root, **{**arrays, "test_labels": arrays["test_labels"][::-1]})
    run(PARAMS, root, "fc")
    assert result(root)["temperature"] == fitted


def test_the_report_has_every_class_and_the_ten_worst_confusions(root):
    run(PARAMS, root, "fc")
    measured = result(root)
    assert list(measured["per_class"]) == CLASSES
    assert sum(scores["support"] for scores in measured["per_class"].values()) == 600
    assert [pair["count"] for pair in measured["confused"]] == sorted(
        (pair["count"] for pair in measured["confused"]), reverse=True
    )
    assert len(measured["confused"]) == 10


def test_recall_and_confusions_are_shares_of_the_true_class(root):
    run(PARAMS, root, "fc")
    arrays, measured = drawn_at(2), result(root)
    labels, predicted = arrays["test_labels"], arrays["test_logits"].argmax(axis=1)
    assert measured["per_class"]["class 3"]["recall"] == pytest.approx(np.mean(predicted[labels == 3] == 3))
    worst = measured["confused"][0]
    true, guess = CLASSES.index(worst["true"]), CLASSES.index(worst["predicted"])
    assert worst["rate"] == pytest.approx(np.mean(predicted[labels == true] == guess))
    assert worst["count"] == np.sum((labels == true) & (predicted == guess))


def test_the_reliability_bins_give_the_reported_ece(root):
    run(PARAMS, root, "fc")
    found = table(root, "reliability")
    assert list(found) == ["variant", "calibration", "bin_lower", "bin_upper", "confidence", "accuracy", "count"]
    for calibration in ("before", "after"):
        bins = found[found["calibration"] == calibration]
        assert len(bins) == 15
        gaps = bins["count"] * (bins["accuracy"] - bins["confidence"]).abs()
        assert gaps.sum() / 600 == pytest.approx(result(root)[calibration]["ece"])
    assert set(found["variant"]) == {"fc"}


def test_the_confusion_table_has_a_row_per_test_image(root):
    run(PARAMS, root, "fc")
    found, arrays = table(root, "confusion"), drawn_at(2)
    assert found["actual"].tolist() == [CLASSES[label] for label in arrays["test_labels"]]
    assert found["predicted"].tolist() == [CLASSES[guess] for guess in arrays["test_logits"].argmax(axis=1)]
    assert (found["actual"] == found["predicted"]).mean() == result(root)["after"]["accuracy"]


def test_the_same_predictions_give_the_same_bytes(root):
    def written():
        run(PARAMS, root, "fc")
        files = [*(root / "results/calibration/fc").iterdir(), root / "results/temperature/fc.json"]
        return {path.name: path.read_bytes() for path in files}

    assert written() == written()
    assert set(written()) == {"metrics.json", "reliability.csv", "confusion.csv", "fc.json"}


def test_the_temperature_has_a_file_of_its_own_that_the_parameters_leave_as_it_is(root):
    """tests.stand_in counts on it: what reads the temperature alone does not run again. Nor do the training labels."""
    path = root / "results/temperature/fc.json"
    run(PARAMS, root, "fc")
    fitted, measured = path.read_bytes(), result(root)
    assert json.loads(fitted) == {"temperature": measured["temperature"], "fitted": True}
    for change in ({"bins": 10}, {"resamples": 50}, {"seed": 1}):
        path.unlink()
        run({"calibrate": PARAMS["calibrate"] | change}, root, "fc")
        assert path.read_bytes() == fitted
        assert result(root) != measured
    save_train_labels(root, np.full(50, 3))
    run(PARAMS, root, "fc")
    assert path.read_bytes() == fitted
    assert result(root) != measured


def test_a_variant_at_chance_is_measured_at_the_highest_temperature_and_that_is_said(root, capsys):
    arrays = drawn_at(2)
    rng = np.random.default_rng(1)
    for split in ("val", "test"):
        arrays[f"{split}_labels"] = rng.permutation(arrays[f"{split}_labels"])
    save_predictions(root, **arrays)
    run(PARAMS, root, "fc")
    measured = result(root)
    assert (measured["temperature"], measured["fitted"]) == (HIGHEST, False)
    assert json.loads((root / "results/temperature/fc.json").read_text()) == {"temperature": 20.0, "fitted": False}
    assert measured["after"]["nll"] == pytest.approx(
        log_loss(arrays["test_labels"], tempered_softmax(arrays["test_logits"], HIGHEST))
    )
    _, said = capsys.readouterr().out.splitlines()
    assert said.startswith("fc: its temperature was not fitted: the best one for its validation images is above 20")


def test_four_images_that_are_all_right_leave_the_probabilities_as_they_are_and_that_is_said(root, capsys):
    arrays = drawn_at(2)
    logits = arrays["val_logits"][:4]
    save_predictions(root, **arrays | {"val_logits": logits, "val_labels": logits.argmax(axis=1)})
    run(PARAMS, root, "fc")
    measured = result(root)
    assert (measured["temperature"], measured["fitted"]) == (1, False)
    assert measured["after"] == measured["before"]
    assert "fc: its temperature was not fitted: no temperature from 0.05 up is the best" in capsys.readouterr().out


def test_a_class_that_is_never_predicted_is_named_and_a_constant_answer_is_as_accurate(root, capsys):
    """190 of 200 test images are of a cat, and the answer is always cat: right for 95 %, and for one of two classes."""
    logits, labels = np.tile(np.float32([3, 0]), (200, 1)), np.repeat([0, 1], [190, 10])
    save_facts(Facts("made up", ["cat", "dog"], mirrors=True), root / "data/subset")
    save_train_labels(root, labels)
    save_predictions(root, val_logits=logits, val_labels=labels, test_logits=logits, test_labels=labels)
    run(PARAMS, root, "fc")
    measured = result(root)
    assert measured["after"]["accuracy"] == measured["majority_accuracy"] == 190 / 200
    assert measured["after"]["macro_recall"] == (1 + 0) / 2
    assert measured["never_predicted"] == ["dog"]
    assert capsys.readouterr().out.splitlines()[1:] == ["fc never predicts dog"]


def test_nothing_is_written_when_the_predictions_are_refused(root):
    arrays = drawn_at(2)
    arrays["test_logits"][5, 5] = np.nan
    save_predictions(root, **arrays)
    with pytest.raises(Refusal, match="1 of 600 test images are not finite"):
        run(PARAMS, root, "fc")
    assert not (root / "results/calibration").exists() and not (root / "results/temperature").exists()
