import json
from itertools import combinations
from math import comb

import numpy as np
import pandas as pd
import pytest
from netcal.metrics import ECE

from stages.compare import run
from study.data.splits import Facts, save_facts
from study.evaluation.scores import accuracy, ece, nll
from study.evaluation.temperature import save_temperature, tempered_softmax
from study.pipeline.files import write_table
from study.pipeline.params import Refusal
from tests.stages.made_up_corruption import answers, save_answers

CLASSES = ["plane", "bird", "cat", "ship"]
VARIANTS = ("fc", "layer4", "full", "scratch")
PARAMS = {"calibrate": {"bins": 15, "resamples": 100, "seed": 0}, "train": {name: {} for name in VARIANTS}}
TEMPERATURES = {"fc": 1.25, "layer4": 2.0, "full": 0.8, "scratch": 1.5}
CONDITIONS = [
    {"corruption": name, "group": group, "severity": severity}
    for name, group, severity in (
        ("clean", "clean", 0),
        ("fog", "benchmark", 1),
        ("fog", "benchmark", 2),
        ("ripple", "held_out", 1),
    )
]
GROUPS = {"corrupted": slice(1, 3), "held_out": slice(3, 4)}  # of the conditions
SIGNAL = {"fc": 1, "layer4": 1.1, "full": 4, "scratch": 2}  # what the logits know of the label


@pytest.fixture
def root(tmp_path):
    """A project whose variants `fc` and `layer4` are about as good, and `full` much better."""
    (tmp_path / "data/subset").mkdir(parents=True)
    save_facts(Facts("made up", CLASSES, mirrors=True), tmp_path / "data/subset")
    (tmp_path / "results/predictions").mkdir(parents=True)
    for variant in SIGNAL:
        np.savez(tmp_path / f"results/predictions/{variant}.npz", **predictions(variant))
        save_temperature(tmp_path, variant, TEMPERATURES[variant])
        folder = tmp_path / "results/corruption" / variant
        write_table(folder / "conditions.csv", pd.DataFrame(CONDITIONS))
        save_answers(folder, *corrupted(variant))
        save_answers(tmp_path / "results/adaptation" / variant, *adapted(variant))
    return tmp_path


def corrupted(variant):
    """Confidence and correctness of 400 images: right as often as SIGNAL has it, under every condition."""
    return answers(seed=0, accuracy=0.5 + SIGNAL[variant] / 10, shape=(4, 400))


def adapted(variant):
    """Those of the first 300 images with adapted statistics: half of what was wrong is right."""
    confidence, correct = (part[:, :300] for part in corrupted(variant))
    return confidence, correct | (np.random.default_rng(1).random(correct.shape) < 0.5)


def mean_ece(confidence, correct):
    return np.mean([ECE(15).measure(*each) for each in zip(confidence, correct.astype(int), strict=True)])


def spread(figure, images):
    """The standard deviation of figure(rows) over 200 draws of as many rows with replacement."""
    rng = np.random.default_rng(1)
    return np.std([figure(rng.integers(images, size=images)) for _ in range(200)])


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


@pytest.mark.parametrize("group", GROUPS)
def test_accuracy_under_shift_has_the_interval_that_the_images_spread_gives(root, group):
    _, correct = corrupted("full")
    shares = correct[GROUPS[group]].mean(axis=0)
    run(PARAMS, root)
    found = result(root)["shift"]["full"][group]["accuracy"]
    assert found["mean"] == pytest.approx(shares.mean())
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * shares.std() / 20, rel=0.2)


@pytest.mark.parametrize("group", GROUPS)
def test_ece_under_shift_is_a_mean_over_conditions_with_an_interval_over_images(root, group):
    confidence, correct = (part[GROUPS[group]] for part in corrupted("fc"))
    run(PARAMS, root)
    found = result(root)["shift"]["fc"][group]["ece"]
    assert found["mean"] == pytest.approx(mean_ece(confidence, correct))
    assert found["low"] < found["mean"] < found["high"]
    expected = 2 * 1.96 * spread(lambda rows: mean_ece(confidence[:, rows], correct[:, rows]), 400)
    assert found["high"] - found["low"] == pytest.approx(expected, rel=0.3)


def test_every_variant_has_a_mean_over_each_group_of_conditions_that_there_is(root):
    run(PARAMS, root)
    assert {tuple(groups) for groups in result(root)["shift"].values()} == {("corrupted", "held_out", "adapted")}
    assert list(result(root)["shift"]) == list(SIGNAL)
    for variant in SIGNAL:
        folder = root / "results/corruption" / variant
        write_table(folder / "conditions.csv", pd.DataFrame(CONDITIONS[:3]))
        save_answers(folder, *(part[:3] for part in corrupted(variant)))
    run(PARAMS, root)
    assert {tuple(groups) for groups in result(root)["shift"].values()} == {("corrupted", "adapted")}


def test_what_adapted_statistics_change_is_paired_over_the_images_that_were_adapted_to(root):
    run(PARAMS, root)
    found, rows = result(root)["shift"]["fc"]["adapted"], GROUPS["corrupted"]
    before, after = ([part[rows, :300] for part in of("fc")] for of in (corrupted, adapted))
    assert found["images"] == 300
    assert found["accuracy"]["mean"] == pytest.approx(after[1].mean())
    assert found["ece"]["mean"] == pytest.approx(mean_ece(*after))
    change = found["change"]["accuracy"]
    assert change["difference"] == pytest.approx(after[1].mean() - before[1].mean())
    paired = (after[1].mean(axis=0) - before[1].mean(axis=0)).std() / np.sqrt(300)
    assert change["high"] - change["low"] == pytest.approx(2 * 1.96 * paired, rel=0.2)
    change = found["change"]["ece"]
    assert change["difference"] == pytest.approx(mean_ece(*after) - mean_ece(*before))

    def resampled(rows):
        return mean_ece(*(part[:, rows] for part in after)) - mean_ece(*(part[:, rows] for part in before))

    assert change["high"] - change["low"] == pytest.approx(2 * 1.96 * spread(resampled, 300), rel=0.3)


def test_answers_that_adaptation_leaves_alone_change_by_nothing(root):
    save_answers(root / "results/adaptation/fc", *(part[:, :300] for part in corrupted("fc")))
    run(PARAMS, root)
    none = {"difference": 0, "low": 0, "high": 0}
    assert result(root)["shift"]["fc"]["adapted"]["change"] == {"accuracy": none, "ece": none}


def test_differences_under_corruption_are_paired_over_the_images(root):
    first, second = (corrupted(variant)[1][1:3].mean(axis=0) for variant in ("fc", "scratch"))
    found = pairs(root)["fc", "scratch"]["corrupted_accuracy"]
    assert found["difference"] == pytest.approx((second - first).mean())
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * (second - first).std() / 20, rel=0.2)


@pytest.mark.parametrize("seed", range(4))
def test_one_image_more_is_no_difference_in_accuracy_whatever_the_seed(root, seed):
    changed = predictions("fc")
    (image, *_) = np.flatnonzero(changed["test_logits"].argmax(axis=1) != changed["test_labels"])
    changed["test_logits"][image] = 9 * np.eye(4)[changed["test_labels"][image]]
    np.savez(root / "results/predictions/layer4.npz", **changed)
    run(PARAMS | {"calibrate": {**PARAMS["calibrate"], "seed": seed}}, root)
    pair = result(root)["pairs"][0]
    assert (pair["first"], pair["second"], pair["mcnemar"]["only_second"]) == ("fc", "layer4", 1)
    assert pair["mcnemar"]["p_value"] == 1
    assert pair["accuracy"]["difference"] == pytest.approx(1 / 300)
    assert pair["accuracy"]["low"] < 0 < pair["accuracy"]["high"]


def test_what_differs_much_is_told_from_what_differs_little(root):
    compared = pairs(root)
    assert compared["fc", "full"]["mcnemar"]["p_holm"] < 0.001 < compared["fc", "layer4"]["mcnemar"]["p_holm"]
    assert compared["fc", "full"]["accuracy"]["low"] > 0 > compared["fc", "layer4"]["accuracy"]["low"]


def test_a_variant_does_not_differ_from_its_copy(root):
    np.savez(root / "results/predictions/layer4.npz", **predictions("fc"))
    save_answers(root / "results/corruption/layer4", *corrupted("fc"))
    save_temperature(root, "layer4", TEMPERATURES["fc"])
    same = pairs(root)["fc", "layer4"]
    none = {"difference": 0, "low": 0, "high": 0}
    reach = 1.96**2 / (300 + 1.96**2)  # on other images they might differ
    assert same["accuracy"] == pytest.approx({"difference": 0, "low": -reach, "high": reach}, rel=1e-3)
    assert (same["ece"], same["nll"]) == (none, none)
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
        run(PARAMS | {"calibrate": {**PARAMS["calibrate"], "seed": seed}}, root)
        return (root / "results/comparison.json").read_bytes()

    assert written(0) == written(0) != written(1)
