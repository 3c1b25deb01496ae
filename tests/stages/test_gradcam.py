import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from stages.gradcam import run
from study.attribution.cam import cams
from study.corruption.catalogue import corrupt
from study.data.splits import Facts, save_facts
from study.evaluation.temperature import save_temperature, tempered_softmax
from study.networks.backbones import untrained
from study.networks.classifier import Classifier, Head, save_classifier
from study.networks.loading import load_classifier
from study.pipeline.params import Refusal

CLASSES = ["plane", "bird", "cat"]
BLOCK = {
    "layer": "layer2",
    "images": 21,
    "corruption": "gaussian_noise",
    "severity": 5,
    "faithfulness_images": 10,
    "seed": 0,
}
PARAMS = {"freeze": "layer4", "gradcam": BLOCK, "mirror": True}
GALLERIES = {"hits", "confident_misses", "confused_pairs", "corrupted", "methods"}
FILES = {"shown.csv", "gallery.npz", "attribution.json"}


@pytest.fixture
def root(tmp_path, images, monkeypatch):
    for module in ("study.attribution.faithfulness", "stages.gradcam"):
        monkeypatch.setattr(f"{module}.STEPS", 2)  # what takes the time
    torch.manual_seed(0)
    save_classifier(
        Classifier(untrained("resnet18"), Head(hidden=[], dropout=0), CLASSES, 32),
        tmp_path / "models/layer4.safetensors",
    )
    for folder in ("data/subset", "results/predictions"):
        (tmp_path / folder).mkdir(parents=True)
    labels = np.arange(40) % 3
    np.savez(tmp_path / "data/subset/test.npz", images=images, labels=labels, indices=np.arange(40))
    save_facts(Facts("made up", CLASSES, mirrors=True), tmp_path / "data/subset")
    save_temperature(tmp_path, "layer4", 2.0)
    predict(tmp_path, misses=20)
    return tmp_path


def predict(root, misses):
    """Save test logits that miss the label of the first `misses` images, each with a confidence of its own."""
    labels = np.arange(40) % 3
    logits = np.zeros((40, 3), dtype=np.float32)
    logits[np.arange(40), (labels + (np.arange(40) < misses)) % 3] = np.linspace(1, 4, 40)
    np.savez(root / "results/predictions/layer4.npz", test_logits=logits, test_labels=labels)
    return logits


@pytest.fixture
def undrawn(monkeypatch):
    """What would be drawn: {gallery: (heading, explanation, pictures)}."""
    drawn = {}
    monkeypatch.setattr("study.attribution.galleries.draw_gallery", lambda path, *rest: drawn.update({path.stem: rest}))
    return drawn


def table(root):
    return pd.read_csv(root / "results/gradcam/shown.csv")


def test_the_galleries_and_their_table_are_written(root):
    logits = predict(root, misses=20)
    run(PARAMS, root)
    assert {path.stem for path in (root / "plots/gradcam").iterdir()} == GALLERIES
    shown = table(root)
    assert shown["kind"].tolist() == 7 * ["hits"] + 7 * ["confident_misses"] + 7 * ["confused_pairs"]
    assert shown["true"].tolist() == [CLASSES[index % 3] for index in shown["index"]]
    assert ((shown["true"] == shown["predicted"]) == (shown["kind"] == "hits")).all()
    expected = tempered_softmax(logits[shown["index"]], 2.0).max(axis=1)
    assert shown["confidence"].tolist() == pytest.approx(expected, abs=1e-12)


def test_the_page_s_maps_are_the_predicted_class_s_of_every_miss_and_hit(root, images, undrawn):
    logits = predict(root, misses=20)
    run(PARAMS, root)
    with np.load(root / "results/gradcam/gallery.npz") as gallery:
        index, maps = gallery["index"], gallery["maps"]
    assert (index.dtype, maps.dtype, maps.shape) == (np.int64, np.float16, (40, 4, 4))
    assert index.tolist() == list(range(40))
    model = load_classifier(root / "models/layer4.safetensors", mirror=True)
    expected = cams(model, images, logits.argmax(axis=1), "layer2")["grad_cam"]
    peaks = expected.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(maps, expected / np.where(peaks > 0, peaks, 1), atol=1e-3)


def test_the_maps_are_tested_on_the_model_that_mirrors_or_does_not(root, undrawn):
    def faithfulness(mirror):
        run(PARAMS | {"mirror": mirror}, root)
        return json.loads((root / "results/gradcam/attribution.json").read_text())["faithfulness"]

    assert faithfulness(mirror=True) != faithfulness(mirror=False)


def test_the_record_is_of_the_variant_and_has_every_measure(root, undrawn):
    run(PARAMS, root)
    record = json.loads((root / "results/gradcam/attribution.json").read_text())
    assert {key: record[key] for key in ("variant", "layer", "images", "steps")} == {
        "variant": "layer4",
        "layer": "layer2",
        "images": 10,
        "steps": 2,
    }
    assert list(record["faithfulness"]) == ["grad_cam", "hirescam", "layer_cam", "random", "centre"]
    assert [row["through"] for row in record["randomisation"]["grad_cam"]][:2] == ["head", "layer4.1"]
    assert {type(check["passed"]) for check in record["checks"]} == {bool}


def test_the_corrupted_gallery_shows_the_hits_corrupted_as_asked(root, images, undrawn):
    run(PARAMS, root)
    heading, _, pictures = undrawn["corrupted"]
    assert "gaussian noise at severity 5" in heading
    found = table(root)
    hits, shown = found.loc[found["kind"] == "hits", "index"].tolist(), found["index"].tolist()
    corrupted = corrupt(images[shown], "gaussian_noise", 5, seed=0)
    assert len(pictures) == len(hits) == 7
    for place, picture in enumerate(pictures):
        np.testing.assert_array_equal(picture.tiles[0][1], images[hits[place]])
        np.testing.assert_array_equal(picture.tiles[2][1], corrupted[place])


@pytest.mark.parametrize(("misses", "kinds"), [(1, (20, 1, 0)), (40, (0, 11, 10))])
def test_there_are_as_many_pictures_however_many_misses(root, misses, kinds):
    predict(root, misses)
    run(PARAMS, root)
    names = ("hits", "confident_misses", "confused_pairs")
    assert tuple((table(root)["kind"] == name).sum() for name in names) == kinds
    for name in GALLERIES:
        Image.open(root / f"plots/gradcam/{name}.png").load()


def test_the_same_inputs_give_the_same_bytes(root):
    def outputs():
        files = [*(root / "plots/gradcam").iterdir(), *(root / "results/gradcam").iterdir()]
        return {path.name: path.read_bytes() for path in files}

    run(PARAMS, root)
    first = outputs()
    assert set(first) == FILES | {f"{name}.png" for name in GALLERIES}
    run(PARAMS, root)
    assert outputs() == first


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer": "layer3"}, r"gradcam\.layer = 'layer3': its map is 2x2 .*: layer2$"),
        ({"faithfulness_images": 41}, r"gradcam\.faithfulness_images = 41: the test split has 40; lower it or raise"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(root, changes, message):
    with pytest.raises(Refusal, match=message):
        run({**PARAMS, "gradcam": BLOCK | changes}, root)
    assert not (root / "plots").exists()
    assert not (root / "results/gradcam").exists()
