import copy
import json

import numpy as np
import pandas as pd
import pytest
import torch
from netcal.metrics import ECE

from stages import predict as predictions
from stages.interpolate import run
from study.adaptation.interpolation import estimate_statistics, interpolated
from study.data.splits import Facts, Split, save_facts, save_split
from study.evaluation.temperature import fit_temperature, save_temperature, tempered_softmax
from study.networks import device
from study.networks.classifier import save_classifier
from study.networks.inference import predict
from study.networks.loading import load_classifier
from tests.stages.made_up_corruption import answers, save_answers, save_corrupted

TEMPERATURES = {"fc": 0.5, "full": 2.0}
BLOCK = {"shares": [0.75, 0.25], "train_images": 1000, "images": 12, "seed": 0}
PARAMS = {"interpolate": BLOCK, "calibrate": {"bins": 15, "resamples": 100, "seed": 0}, "mirror": True}
UNDER = {"fc": answers(seed=1, accuracy=0.3, shape=(5, 15)), "full": answers(seed=2, accuracy=0.8, shape=(5, 15))}
GROUPS = {"corrupted": slice(1, 3), "held_out": slice(3, 5)}  # rows of the conditions: fog and ripple
TRAIN, CALIBRATION = slice(0, 16), slice(16, 40)


@pytest.fixture
def corrupted(tmp_path, images):
    return save_corrupted(tmp_path, images[:15])


@pytest.fixture
def root(tmp_path, corrupted, images, model, monkeypatch):
    """A project with an untrained `fc`, a `full` close to it, and made-up answers of both to corrupted images.

    Three of four labels are as `fc` has them, or there would be no temperature to fit.
    """
    monkeypatch.setattr(device, "has_native_bf16", lambda: False)
    estimate_statistics(model, images[TRAIN])
    model.mirror = True
    with torch.no_grad():
        model.head[-1].bias -= torch.from_numpy(predict(model, images).mean(axis=0))
        model.head[-1].weight *= 20
        full = copy.deepcopy(model)
        for weights in full.parameters():
            weights += 0.02 * torch.randn_like(weights) * weights.abs().mean()
    labels = predict(model, images).argmax(axis=1)
    labels[::4] = (labels[::4] + 1) % 3
    (tmp_path / "data/subset").mkdir()
    save_facts(Facts("made up", model.config["classes"], mirrors=True), tmp_path / "data/subset")
    for name, rows in (("train", TRAIN), ("calibration", CALIBRATION), ("test", slice(None))):
        save_split(Split(images[rows], labels[rows], np.arange(40)[rows]), tmp_path / "data/subset", name)
    for variant, network in (("fc", model), ("full", full)):
        save_classifier(network, tmp_path / f"models/{variant}.safetensors")
        save_temperature(tmp_path, variant, TEMPERATURES[variant])
        save_answers(tmp_path / "results/corruption" / variant, *UNDER[variant])
        predictions.run(PARAMS, tmp_path, variant)
    return tmp_path


def table(root, **change):
    run(PARAMS | {"interpolate": BLOCK | change}, root)
    return pd.read_csv(root / "results/interpolation.csv").set_index("share", drop=False)


def split(root, name):
    with np.load(root / f"data/subset/{name}.npz") as arrays:
        return arrays["images"], arrays["labels"]


def test_there_is_a_row_for_either_end_and_every_share_in_order(root):
    found = table(root)
    assert found["share"].tolist() == [0, 0.25, 0.75, 1]
    accuracies = ["accuracy", "corrupted_accuracy", "held_out_accuracy"]
    assert list(found) == [
        "share", "temperature", "accuracy", "ece", "corrupted_accuracy", "corrupted_ece", "held_out_accuracy",
        "held_out_ece", *(f"{name}_{of}" for name in accuracies for of in ("gain", "gain_low", "gain_high")),
    ]  # fmt: skip


@pytest.mark.parametrize(("share", "variant"), [(0, "fc"), (1, "full")])
def test_the_ends_have_what_was_measured_of_them(root, share, variant):
    row = table(root, shares=[0.5]).loc[share]
    assert row["temperature"] == TEMPERATURES[variant]
    with np.load(root / f"results/predictions/{variant}.npz") as arrays:
        probabilities = tempered_softmax(arrays["test_logits"], TEMPERATURES[variant])
        correct = probabilities.argmax(axis=1) == arrays["test_labels"]
    assert row["accuracy"] == pytest.approx(correct.mean())
    assert row["ece"] == pytest.approx(ECE(15).measure(probabilities.max(axis=1), correct.astype(int)))
    confidence, correct = (part[:, :12] for part in UNDER[variant])
    for group, rows in GROUPS.items():
        assert row[f"{group}_accuracy"] == pytest.approx(correct[rows].mean())
        errors = [ECE(15).measure(*each) for each in zip(confidence[rows], correct[rows].astype(int), strict=True)]
        assert row[f"{group}_ece"] == pytest.approx(np.mean(errors))


def test_a_network_between_has_statistics_of_the_training_images_and_a_temperature_of_its_own(root, corrupted):
    row = table(root, shares=[0.25]).loc[0.25]
    between = interpolated(*(load_classifier(root / f"models/{name}.safetensors", True) for name in UNDER), 0.25)
    estimate_statistics(between, split(root, "train")[0])
    val, labels = split(root, "calibration")
    temperature = fit_temperature(predict(between, val), labels).temperature
    assert row["temperature"] == pytest.approx(temperature, rel=1e-3)

    def scores(images, labels):
        probabilities = tempered_softmax(predict(between, images), row["temperature"])
        correct = probabilities.argmax(axis=1) == labels
        return correct.mean(), ECE(15).measure(probabilities.max(axis=1), correct.astype(int))

    assert row[["accuracy", "ece"]].tolist() == pytest.approx(scores(*split(root, "test")), abs=1e-3)
    for group, rows in GROUPS.items():
        expected = np.mean([scores(each[:12], corrupted.labels[:12]) for each in corrupted.images[rows]], axis=0)
        assert row[[f"{group}_accuracy", f"{group}_ece"]].tolist() == pytest.approx(expected, abs=1e-3)


def test_gains_are_over_full_with_intervals_paired_over_the_images(root):
    found = table(root)
    for name in ("accuracy", "corrupted_accuracy", "held_out_accuracy"):
        assert found[f"{name}_gain"].tolist() == pytest.approx((found[name] - found[name][1]).tolist())
        assert (found[f"{name}_gain_low"] <= found[f"{name}_gain"]).all()
        assert (found[f"{name}_gain"] <= found[f"{name}_gain_high"]).all()
        assert found[[f"{name}_gain", f"{name}_gain_low", f"{name}_gain_high"]].loc[1].tolist() == [0, 0, 0]
    for group, rows in GROUPS.items():
        fc, full = (UNDER[variant][1][rows, :12].mean(axis=0) for variant in ("fc", "full"))
        width = found[f"{group}_accuracy_gain_high"][0] - found[f"{group}_accuracy_gain_low"][0]
        assert width == pytest.approx(2 * 1.96 * (fc - full).std() / np.sqrt(12), rel=0.25)


def test_without_held_out_corruptions_there_is_no_mean_over_them(root, corrupted):
    folder = root / "data/corrupted"
    np.save(folder / "images.npy", corrupted.images[:3])
    (folder / "conditions.json").write_text(json.dumps(corrupted.conditions[:3]))
    for variant, of in UNDER.items():
        save_answers(root / "results/corruption" / variant, *(part[:3] for part in of))
    found = table(root, shares=[0.5])
    assert not [name for name in found if name.startswith("held_out")]
    assert found["corrupted_accuracy"][1] == pytest.approx(UNDER["full"][1][1:3, :12].mean())


def test_the_same_input_gives_the_same_bytes_and_another_seed_other_training_images(root):
    def written(seed):
        run(PARAMS | {"interpolate": BLOCK | {"shares": [0.5], "train_images": 10, "seed": seed}}, root)
        return (root / "results/interpolation.csv").read_bytes()

    before = written(0)
    assert written(0) == before != written(1)
