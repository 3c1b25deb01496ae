import numpy as np
import pandas as pd
import pytest
import torch
from netcal.metrics import ECE
from sklearn.metrics import accuracy_score
from torch import nn

from stages.adapt import run
from study.evaluation.scores import ece
from study.evaluation.temperature import save_temperature, tempered_softmax
from study.networks import device
from study.networks.classifier import save_classifier
from study.networks.inference import predict
from study.networks.loading import load_classifier
from tests.stages.made_up_corruption import answers, save_answers, save_corrupted

TEMPERATURE = 0.5
BLOCK = {"images": 12, "batch_sizes": [7, 500], "pseudo_count": 0}
PARAMS = {"adapt": BLOCK, "calibrate": {"bins": 15}, "mirror": True}
FROZEN = answers(seed=0, accuracy=0.5, shape=(5, 15))


@pytest.fixture
def corrupted(tmp_path, images):
    return save_corrupted(tmp_path, images[:15])


@pytest.fixture
def root(tmp_path, corrupted, model, monkeypatch):
    """A project with an untrained `fc`, and made-up answers to 15 corrupted images, of which 12 are adapted to."""
    monkeypatch.setattr(device, "has_native_bf16", lambda: False)
    with torch.no_grad():
        model.head[-1].weight *= 20  # or all probabilities would be near 1 / 3
    save_classifier(model, tmp_path / "models/fc.safetensors")
    save_temperature(tmp_path, "fc", TEMPERATURE)
    save_answers(tmp_path / "results/corruption/fc", *FROZEN)
    return tmp_path


@pytest.fixture
def in_training_mode(root):
    """Probabilities of a batch of images, uint8, by a model whose batch norm takes the batch's own statistics."""
    model = load_classifier(root / "models/fc.safetensors", mirror=True)
    for module in model.modules():
        module.training = isinstance(module, nn.BatchNorm2d)

    def answer(batch):
        with torch.inference_mode():
            return tempered_softmax(model(torch.from_numpy(batch)).numpy(), TEMPERATURE)

    return answer


def table(root):
    return pd.read_csv(root / "results/adaptation/fc/conditions.csv")


def adapted(root, **change):
    """confidence and correct, (conditions, images), that the stage writes."""
    run(PARAMS | {"adapt": BLOCK | change}, root, "fc")
    return [np.load(root / f"results/adaptation/fc/{name}.npy") for name in ("confidence", "correct")]


def test_clean_images_and_severity_5_have_a_row_for_every_batch_size_and_the_rest_for_the_largest(root):
    run(PARAMS, root, "fc")
    found = table(root)
    assert list(found) == [
        "variant", "corruption", "group", "severity", "batch_size", "images", "accuracy", "ece"
    ]  # fmt: skip
    assert found[["corruption", "group", "severity", "batch_size"]].to_numpy().tolist() == [
        *(["clean", "clean", 0, size] for size in (0, 7, 12)),
        *(["fog", "benchmark", 1, size] for size in (0, 12)),
        *(["fog", "benchmark", 5, size] for size in (0, 7, 12)),
        *(["ripple", "held_out", 1, size] for size in (0, 12)),
        *(["ripple", "held_out", 5, size] for size in (0, 7, 12)),
    ]
    assert set(found["variant"]) == {"fc"} and set(found["images"]) == {12}


def test_batch_sizes_beyond_the_number_of_images_are_one_and_the_same(root):
    run(PARAMS | {"adapt": BLOCK | {"batch_sizes": [12, 13, 500]}}, root, "fc")
    assert table(root)["batch_size"].tolist() == [0, 12] * 5


def test_batch_size_0_is_what_the_same_images_got_without_adaptation(root):
    run(PARAMS, root, "fc")
    without = table(root).query("batch_size == 0")
    confidence, correct = (part[:, :12] for part in FROZEN)
    assert without["accuracy"].tolist() == pytest.approx(correct.mean(axis=1))
    expected = [ECE(15).measure(*each) for each in zip(confidence, correct.astype(int), strict=True)]
    assert without["ece"].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("size", [7, 12])
def test_without_learned_statistics_a_row_is_what_a_network_in_training_mode_yields(
    root, corrupted, in_training_mode, size
):
    run(PARAMS, root, "fc")
    rows = table(root).query(f"batch_size == {size}").set_index(["corruption", "severity"])
    for condition, images in zip(corrupted.conditions, corrupted.images[:, :12], strict=True):
        place = condition["corruption"], condition["severity"]
        if place in rows.index:
            batches = [in_training_mode(images[start : start + size]) for start in range(0, 12, size)]
            probabilities, labels = np.concatenate(batches), corrupted.labels[:12]
            assert rows.loc[place, "accuracy"] == accuracy_score(labels, probabilities.argmax(axis=1))
            assert rows.loc[place, "ece"] == pytest.approx(ece(probabilities, labels, 15), abs=1e-4)


def test_the_answers_kept_are_those_at_the_largest_batch_size(root, corrupted, in_training_mode):
    confidence, correct = adapted(root)
    assert (confidence.shape, confidence.dtype, correct.shape, correct.dtype) == ((5, 12), float, (5, 12), bool)
    assert table(root).query("batch_size == 12")["accuracy"].tolist() == pytest.approx(correct.mean(axis=1))
    for place, images in enumerate(corrupted.images[:, :12]):
        np.testing.assert_allclose(confidence[place], in_training_mode(images).max(axis=1), atol=1e-4)


def test_with_very_many_learned_images_the_answers_are_those_without_adaptation(root, corrupted):
    model = load_classifier(root / "models/fc.safetensors", mirror=True)
    expected = tempered_softmax([predict(model, images) for images in corrupted.images[:, :12]], TEMPERATURE)
    confidence, correct = adapted(root, pseudo_count=1_000_000)
    np.testing.assert_allclose(confidence, expected.max(axis=-1), atol=1e-3)
    np.testing.assert_array_equal(correct, expected.argmax(axis=-1) == corrupted.labels[:12])
    assert not np.allclose(adapted(root)[0], confidence, atol=0.01)


def test_no_label_is_looked_at(root, corrupted):
    confidence, correct = adapted(root)
    np.save(root / "data/corrupted/labels.npy", (corrupted.labels + 1) % 3)
    other_confidence, other_correct = adapted(root)
    np.testing.assert_array_equal(other_confidence, confidence)
    assert (other_correct != correct).any()


def test_the_same_input_gives_the_same_bytes(root):
    def written():
        run(PARAMS, root, "fc")
        return {path.name: path.read_bytes() for path in (root / "results/adaptation/fc").iterdir()}

    before = written()
    assert set(before) == {"conditions.csv", "confidence.npy", "correct.npy"}
    assert written() == before
