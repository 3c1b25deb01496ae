import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from stages.ood import run
from study.data.splits import Facts, save_facts
from study.networks import device
from study.networks.classifier import save_classifier
from study.networks.inference import predict
from study.networks.loading import load_classifier
from study.ood.features import features_and_logits
from study.ood.images import Ood, outside_sets
from study.ood.scores import energy, mahalanobis, maximum_logit, maximum_probability
from study.pipeline.params import Refusal, parse
from study.sources import digits
from tests.conftest import CLASSES

BLOCK = {"images": 16, "train_images": 500, "neighbours": 3, "paths": ["photos"], "seed": 0}
PARAMS = {"ood": BLOCK, "mirror": True}
SCORES = ["maximum_probability", "energy", "maximum_logit", "mahalanobis", "nearest_neighbour"]
FROM_LOGITS = {"maximum_probability": maximum_probability, "energy": energy, "maximum_logit": maximum_logit}
SETS = ["digits", "patch_shuffled", "uniform_noise", "coloured_noise", "photos"]


def scenes(count, seed):
    """Images with large shapes, uint8 (count, 32, 32, 3), and labels."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    images = np.stack([np.asarray(Image.fromarray(image).resize((32, 32))) for image in coarse])
    return images, np.arange(count) % 3


@pytest.fixture
def root(tmp_path, model, monkeypatch):
    """A project with an untrained `fc`, 30 images to train on, 21 to calibrate and 24 to test on, and a few photos."""
    monkeypatch.setattr(device, "has_native_bf16", lambda: False)
    with torch.no_grad():
        model.head[-1].weight *= 20  # or all probabilities would be near 1 / 3
    save_classifier(model, tmp_path / "models/fc.safetensors")
    (tmp_path / "data/subset").mkdir(parents=True)
    for seed, (name, count) in enumerate({"train": 30, "calibration": 21, "test": 24}.items()):
        images, labels = scenes(count, seed)
        np.savez(tmp_path / f"data/subset/{name}.npz", images=images, labels=labels, indices=np.arange(count))
    save_facts(Facts("made up", CLASSES, mirrors=True), tmp_path / "data/subset")
    (tmp_path / "photos").mkdir()
    for number, image in enumerate(scenes(5, 3)[0]):
        Image.fromarray(image).save(tmp_path / f"photos/{number}.png")
    return tmp_path


def split(root, name):
    return np.load(root / f"data/subset/{name}.npz")["images"]


def measured(root, mirror=True, **change):
    """scores.csv and thresholds.json."""
    run({"ood": BLOCK | change, "mirror": mirror}, root, "fc")
    folder = root / "results/ood/fc"
    return pd.read_csv(folder / "scores.csv"), json.loads((folder / "thresholds.json").read_text())


def test_the_table_has_a_row_for_every_set_and_score(root):
    table, _ = measured(root)
    assert list(table) == ["variant", "set", "images", "score", "auroc", "fpr95", "passed"]
    assert list(zip(table["set"], table["score"], strict=True)) == [(name, score) for name in SETS for score in SCORES]
    assert table.groupby("set")["images"].first().to_dict() == dict.fromkeys(SETS, 16) | {"photos": 5}
    assert set(table["variant"]) == {"fc"}
    assert table[["auroc", "fpr95"]].stack().between(0, 1).all()


@pytest.mark.parametrize("mirror", [False, True])
def test_auroc_and_fpr95_are_those_of_the_test_images_against_each_set(root, mirror):
    """All 24 test images: scikit-learn and the network itself give the numbers."""
    table, _ = measured(root, mirror, images=24)
    found = table.set_index(["set", "score"])
    model, block = load_classifier(root / "models/fc.safetensors", mirror), parse({"ood": BLOCK}, "ood", Ood)
    train_features, _ = features_and_logits(model, split(root, "train"))
    train_labels = np.load(root / "data/subset/train.npz")["labels"]
    unit = train_features / np.linalg.norm(train_features, axis=1, keepdims=True)
    neighbours = NearestNeighbors(n_neighbors=3).fit(unit)

    def scored(images):
        features, _ = features_and_logits(model, images)
        logits, length = predict(model, images), np.linalg.norm(features, axis=1, keepdims=True)
        return {name: score(logits) for name, score in FROM_LOGITS.items()} | {
            "mahalanobis": mahalanobis(train_features, train_labels, features),
            "nearest_neighbour": -neighbours.kneighbors(features / length)[0].max(axis=1),
        }

    inside = scored(split(root, "test"))
    outside = dict(outside_sets(split(root, "test"), CLASSES, block, [root / "photos"]))
    for name in ("uniform_noise", "photos"):  # the same whatever order the test images were drawn in
        for score, values in scored(outside[name]).items():
            is_inside = [1] * 24 + [0] * len(values)
            expected = roc_auc_score(is_inside, np.concatenate([inside[score], values]))
            passing = np.mean(values >= np.sort(inside[score])[1])  # 23 of 24 are the first share above 95 %
            assert found.loc[(name, score), "auroc"] == pytest.approx(expected, abs=2e-3)  # of one pair in 384
            assert found.loc[(name, score), "fpr95"] == pytest.approx(passing, abs=0.05)


def test_what_passes_is_what_reaches_the_threshold_of_val(root):
    table, limits = measured(root)
    model = load_classifier(root / "models/fc.safetensors", mirror=True)
    outside = dict(outside_sets(split(root, "test"), CLASSES, parse({"ood": BLOCK}, "ood", Ood), [root / "photos"]))
    logits, found = predict(model, outside["photos"]), table.set_index(["set", "score"])["passed"]
    for score in SCORES:
        if score in FROM_LOGITS:
            passing = FROM_LOGITS[score](logits) >= limits[score]["threshold"]
            assert found["photos", score] == pytest.approx(passing.mean())
        else:
            assert np.isnan(found["photos", score])


def test_thresholds_are_what_95_percent_of_the_second_half_of_val_reach(root):
    _, found = measured(root, images=24)
    assert list(found) == list(FROM_LOGITS)
    model = load_classifier(root / "models/fc.safetensors", mirror=True)
    for name, score in FROM_LOGITS.items():
        second_lowest = np.sort(score(predict(model, split(root, "calibration"))))[1]  # 20 of 21
        assert found[name]["threshold"] == pytest.approx(second_lowest, rel=1e-6)
        below = np.mean(score(predict(model, split(root, "test"))) < second_lowest)
        assert found[name]["below"] == pytest.approx(below)


def test_the_mirror_image_counts_in_the_scores_from_logits_and_in_those_from_features(root):
    one, thresholds = measured(root, mirror=False)
    both, other_thresholds = measured(root, mirror=True)
    changed = one.set_index("score")["auroc"] != both.set_index("score")["auroc"]
    assert changed.groupby(level=0).any().all()
    assert thresholds != other_thresholds


def test_no_more_images_are_taken_than_there_are(root):
    table, _ = measured(root, images=30)
    assert table.groupby("set")["images"].first().to_dict() == {
        "digits": 30, "patch_shuffled": 24, "uniform_noise": 24, "coloured_noise": 24, "photos": 5
    }  # fmt: skip


def test_the_training_images_are_drawn_and_the_scores_from_logits_do_not_depend_on_them(root):
    every, _ = measured(root)
    fewer, _ = measured(root, train_images=10)
    same = every["auroc"] == fewer["auroc"]
    from_logits = every["score"].isin(FROM_LOGITS)
    assert same[from_logits].all()
    assert not same[~from_logits].all()


def test_of_a_network_for_digits_the_digits_are_no_set_outside(root):
    save_facts(digits.FACTS, root / "data/subset")
    table, _ = measured(root)
    assert list(dict.fromkeys(table["set"])) == SETS[1:]


def test_a_missing_folder_is_refused_in_one_line_and_the_table_stays(root):
    before, _ = measured(root)
    with pytest.raises(Refusal, match=r"^params.yaml: ood.paths: [^\n]*nowhere: there is no such folder[^\n]*$"):
        measured(root, paths=["nowhere"])
    pd.testing.assert_frame_equal(pd.read_csv(root / "results/ood/fc/scores.csv"), before)


def test_the_same_input_gives_the_same_bytes(root):
    def written():
        measured(root)
        return {path.name: path.read_bytes() for path in (root / "results/ood/fc").iterdir()}

    before = written()
    assert set(before) == {"scores.csv", "thresholds.json"}
    assert written() == before
