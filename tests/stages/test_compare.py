import json
from itertools import combinations
from math import comb

import numpy as np
import pandas as pd
import pytest

from stages.compare import run
from study.evaluation.scores import accuracy, ece, nll
from study.evaluation.temperature import save_temperature, tempered_softmax
from study.pipeline.files import write_table
from study.pipeline.params import Refusal

CLASSES = ["plane", "bird", "cat", "ship"]
PARAMS = {"calibrate": {"bins": 15, "resamples": 100, "seed": 0}}
TEMPERATURES = {"fc": 1.25, "layer4": 2.0, "full": 0.8, "scratch": 1.5}
CONDITIONS = [
    {"corruption": name, "group": group, "severity": severity}
    for name, group, severity in (("clean", "clean", 0), ("fog", "benchmark", 1), ("fog", "benchmark", 2))
]
SIGNAL = {"fc": 1, "layer4": 1.1, "full": 4, "scratch": 2}  # what the logits know of the label


@pytest.fixture
def root(tmp_path):
    """A project whose variants `fc` and `layer4` are about as good, and `full` much better."""
    (tmp_path / "data/subset").mkdir(parents=True)
    (tmp_path / "data/subset/classes.json").write_text(json.dumps(CLASSES))
    (tmp_path / "results/predictions").mkdir(parents=True)
    for variant in SIGNAL:
        np.savez(tmp_path / f"results/predictions/{variant}.npz", **predictions(variant))
        save_temperature(tmp_path, variant, TEMPERATURES[variant])
        folder = tmp_path / "results/corruption" / variant
        write_table(folder / "conditions.csv", pd.DataFrame(CONDITIONS))
        np.save(folder / "correct.npy", corrupted(variant))
    return tmp_path


def corrupted(variant):
    """Whether each of 400 images is right: as often as SIGNAL has it, when clean and under two conditions."""
    return np.random.default_rng(0).random((3, 400)) < 0.5 + SIGNAL[variant] / 10


def predictions(variant):
    rng = np.random.default_rng(0)
    labels, noise = rng.integers(0, 4, 300), rng.normal(0, 1, (300, 4))
    own = np.random.default_rng(len(variant)).normal(0, 1, (300, 4))
    logits = SIGNAL[variant] * np.eye(4)[labels] + noise + own
    return {"test_logits": logits.astype(np.float32), "test_labels": labels}


def pairs(root):
    run(PARAMS, root)
    return {(pair["first"], pair["second"]): pair for pair in result(root)["pairs"]}


def result(root):
    return json.loads((root / "results/comparison.json").read_text())


def test_every_variant_is_compared_with_every_later_one(root):
    assert list(pairs(root)) == list(combinations(TEMPERATURES, 2))
    assert (result(root)["level"], result(root)["resamples"]) == (0.95, 100)


def test_the_differences_are_those_of_the_scaled_probabilities(root):
    scores = {}
    for variant, temperature in TEMPERATURES.items():
        logits, labels = predictions(variant).values()
        probabilities = tempered_softmax(logits, temperature)
        scores[variant] = {
            "accuracy": accuracy(probabilities, labels),
            "ece": ece(probabilities, labels, 15),
            "nll": nll(logits, labels, temperature),
        }
    for (first, second), pair in pairs(root).items():
        for name in ("accuracy", "ece", "nll"):
            assert pair[name]["difference"] == pytest.approx(scores[second][name] - scores[first][name])
            assert pair[name]["low"] < pair[name]["difference"] < pair[name]["high"]


def test_mcnemar_is_exact_on_the_images_that_one_alone_gets_right(root):
    (first, labels), (second, _) = predictions("fc").values(), predictions("full").values()
    first, second = first.argmax(axis=1) == labels, second.argmax(axis=1) == labels
    only_first, only_second = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    test = pairs(root)["fc", "full"]["mcnemar"]
    assert (test["only_first"], test["only_second"]) == (only_first, only_second)
    tail = sum(comb(only_first + only_second, count) for count in range(only_first + 1))
    assert test["p_value"] == pytest.approx(2 * tail / 2 ** (only_first + only_second))


def test_the_p_values_are_adjusted_for_the_number_of_tests(root):
    tests = [pair["mcnemar"] for pair in pairs(root).values()]
    expected = 0
    for left, test in zip(range(len(tests), 0, -1), sorted(tests, key=lambda test: test["p_value"]), strict=True):
        expected = max(expected, min(1, left * test["p_value"]))
        assert test["p_holm"] == pytest.approx(expected)


def test_accuracy_under_corruption_has_the_interval_that_the_images_spread_gives(root):
    shares = corrupted("full")[1:].mean(axis=0)
    run(PARAMS, root)
    found = result(root)["corrupted_accuracy"]["full"]
    assert found["mean"] == pytest.approx(shares.mean())
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * shares.std() / 20, rel=0.2)


def test_differences_under_corruption_are_paired_over_the_images(root):
    first, second = corrupted("fc")[1:].mean(axis=0), corrupted("scratch")[1:].mean(axis=0)
    found = pairs(root)["fc", "scratch"]["corrupted_accuracy"]
    assert found["difference"] == pytest.approx((second - first).mean())
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * (second - first).std() / 20, rel=0.2)


def test_what_differs_much_is_told_from_what_differs_little(root):
    compared = pairs(root)
    assert compared["fc", "full"]["mcnemar"]["p_holm"] < 0.001 < compared["fc", "layer4"]["mcnemar"]["p_holm"]
    assert compared["fc", "full"]["accuracy"]["low"] > 0 > compared["fc", "layer4"]["accuracy"]["low"]


def test_a_variant_does_not_differ_from_its_copy(root):
    np.savez(root / "results/predictions/layer4.npz", **predictions("fc"))
    np.save(root / "results/corruption/layer4/correct.npy", corrupted("fc"))
    save_temperature(root, "layer4", TEMPERATURES["fc"])
    same = pairs(root)["fc", "layer4"]
    none = {"difference": 0, "low": 0, "high": 0}
    assert (same["accuracy"], same["ece"], same["nll"]) == (none, none, none)
    assert (same["corrupted_accuracy"]["low"], same["corrupted_accuracy"]["high"]) == pytest.approx((0, 0), abs=1e-12)
    assert same["mcnemar"] == {"only_first": 0, "only_second": 0, "p_value": 1, "p_holm": 1}


def test_other_test_images_are_refused(root):
    arrays = predictions("full")
    np.savez(root / "results/predictions/full.npz", **{**arrays, "test_labels": arrays["test_labels"][::-1]})
    with pytest.raises(
        Refusal, match=r"full\.npz: test_labels are not those of fc\.npz.*dvc repro predict@fc predict@full"
    ):
        run(PARAMS, root)
    assert not (root / "results/comparison.json").exists()


def test_the_same_predictions_give_the_same_bytes_and_another_seed_others(root):
    def written(seed):
        run({"calibrate": {**PARAMS["calibrate"], "seed": seed}}, root)
        return (root / "results/comparison.json").read_bytes()

    assert written(0) == written(0) != written(1)
