import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from stages.common.calibration import softmax
from stages.common.model import Classifier, Head, save_classifier
from stages.common.params import Refusal
from stages.gradcam import run

CLASSES = ["plane", "bird", "cat"]
PARAMS = {"freeze": "layer4", "gradcam": {"layer": "layer3", "images": 21}}


@pytest.fixture
def root(tmp_path, images):
    torch.manual_seed(0)
    save_classifier(Classifier(Head(hidden=[], dropout=0), CLASSES, 64), tmp_path / "models/layer4.safetensors")
    for folder in ("data/subset", "results/predictions", "results/calibration"):
        (tmp_path / folder).mkdir(parents=True)
    labels = np.arange(40) % 3
    np.savez(tmp_path / "data/subset/test.npz", images=images, labels=labels, indices=np.arange(40))
    (tmp_path / "data/subset/classes.json").write_text(json.dumps(CLASSES))
    (tmp_path / "results/calibration/layer4.json").write_text(json.dumps({"temperature": 2.0}))
    predict(tmp_path, misses=20)
    return tmp_path


def predict(root, misses):
    """Save test logits that miss the label of the first `misses` images, each with a confidence of its own."""
    labels = np.arange(40) % 3
    logits = np.zeros((40, 3), dtype=np.float32)
    logits[np.arange(40), (labels + (np.arange(40) < misses)) % 3] = np.linspace(1, 4, 40)
    np.savez(root / "results/predictions/layer4.npz", test_logits=logits, test_labels=labels)
    return logits


def table(root):
    with (root / "results/gradcam.csv").open() as file:
        return list(csv.DictReader(file))


def test_three_galleries_and_their_table_are_written(root):
    logits = predict(root, misses=20)
    run(PARAMS, root)
    assert {path.name for path in (root / "plots/gradcam").iterdir()} == {
        "hits.png",
        "confident_misses.png",
        "confused_pairs.png",
    }
    rows = table(root)
    assert [row["kind"] for row in rows] == 7 * ["hits"] + 7 * ["confident_misses"] + 7 * ["confused_pairs"]
    for row in rows:
        index = int(row["index"])
        assert row["true"] == CLASSES[index % 3]
        assert (row["true"] == row["predicted"]) == (row["kind"] == "hits")
        assert float(row["confidence"]) == pytest.approx(softmax(logits[index], 2.0).max(), abs=1e-12)


def test_misses_show_a_map_for_both_classes_and_hits_for_one(root, monkeypatch):
    drawn = {}

    def draw(path, _heading, _explanation, pictures):
        drawn[path.stem] = pictures

    monkeypatch.setattr("stages.gradcam.draw_gallery", draw)
    run(PARAMS, root)
    for kind, maps in (("hits", 1), ("confident_misses", 2), ("confused_pairs", 2)):
        assert [len(picture.maps) for picture in drawn[kind]] == 7 * [maps]
    most_confident = drawn["confident_misses"][0]  # image 19 is a bird, taken for a cat
    assert most_confident.title.startswith("bird / cat  p=0.")
    assert list(most_confident.maps) == ["for cat", "for bird"]
    assert not np.array_equal(*most_confident.maps.values())


@pytest.mark.parametrize(("misses", "kinds"), [(0, (21, 0, 0)), (1, (20, 1, 0)), (5, (16, 3, 2)), (40, (0, 11, 10))])
def test_there_are_as_many_pictures_however_many_misses(root, misses, kinds):
    predict(root, misses)
    run(PARAMS, root)
    names = ("hits", "confident_misses", "confused_pairs")
    assert tuple(sum(row["kind"] == name for row in table(root)) for name in names) == kinds
    for name in names:
        Image.open(root / f"plots/gradcam/{name}.png").load()


def test_the_same_inputs_give_the_same_bytes(root):
    run(PARAMS, root)
    first = {path.name: path.read_bytes() for path in (root / "plots/gradcam").iterdir()}
    run(PARAMS, root)
    assert {path.name: path.read_bytes() for path in (root / "plots/gradcam").iterdir()} == first


def test_a_layer_whose_map_is_too_coarse_is_refused_before_anything_is_written(root):
    with pytest.raises(Refusal, match=r"gradcam\.layer = 'layer4': its map is 2x2 .*: layer2, layer3$"):
        run({**PARAMS, "gradcam": {"layer": "layer4", "images": 21}}, root)
    assert not (root / "plots").exists()
