import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from stages import features as stage
from stages.features import run
from study.data.splits import Facts, Split, load_facts, save_facts, save_split
from study.features.augment import Augment, augmented
from study.features.frozen_features import training_views
from study.networks.classifier import Head, pretrained
from study.networks.device import autocast
from study.sources.backbone_weights import backbone_weights

CLASSES = ["plane", "bird", "cat"]
COMMON = {
    "image_size": 32,
    "views": 3,
    "augment": {"crop": True, "flip": True, "randaugment": False, "cutout": False, "augmix": False},
    "seed": 0,
}
SHAPES = {"train": (3, 28, 512), "selection": (12, 512)}  # of a ResNet-18


def with_common(**change):
    return {"train": {"common": COMMON | change}}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with a random backbone, and 28 images to train on and 12 that select."""
    root = tmp_path_factory.mktemp("project")
    (root / "data/backbone").mkdir(parents=True)
    (root / "data/subset").mkdir()
    state = backbone_weights("resnet18", "none", root)
    save_file(state, root / "data/backbone/weights.safetensors", {"backbone": "resnet18"})
    images = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    for name, rows in (("train", slice(0, 28)), ("selection", slice(28, 40))):
        save_split(Split(images[rows], np.arange(40)[rows] % 3, np.arange(40)[rows]), root / "data/subset", name)
    save_facts(Facts("made up", CLASSES, mirrors=True), root / "data/subset")
    return root


def features(root, **change):
    run(with_common(**change), root)
    return {path.stem: np.load(path) for path in (root / "data/features").iterdir()}


def test_the_features_of_every_view_are_written_and_the_seconds(project):
    found = features(project)
    assert {name: array.shape for name, array in found.items()} == SHAPES
    assert {name: array.dtype for name, array in found.items()} == {
        name: np.float16 if name == "train" else np.float32 for name in SHAPES
    }
    assert json.loads((project / "results/training/features.json").read_text())["seconds"] > 0


def test_they_are_those_of_the_frozen_backbone_for_the_images_and_then_for_augmented_ones(project):
    found = features(project)
    images = torch.from_numpy(np.load(project / "data/subset/train.npz")["images"])
    generator = torch.Generator().manual_seed(0)
    views = [images, *(augmented(images, Augment(**COMMON["augment"]), generator) for _ in range(2))]
    model = pretrained(project, Head(hidden=[], dropout=0.0), CLASSES, 32)
    with torch.inference_mode(), autocast():
        for view, seen in enumerate(views):
            expected = model.pooled(seen).float().numpy()
            np.testing.assert_allclose(found["train"][view], expected, atol=0.01 * np.abs(expected).max())


def test_digits_have_no_mirrored_views(project, monkeypatch):
    seen = []

    def noted(images, count, augment, seed):
        seen.append(augment.flip)
        return training_views(images, count, augment, seed)

    monkeypatch.setattr(stage, "training_views", noted)
    facts = load_facts(project)
    for mirrors in (True, False):
        save_facts(facts._replace(mirrors=mirrors), project / "data/subset")
        features(project)
    save_facts(facts, project / "data/subset")
    assert seen == [True, False]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_views(project):
    first, again, other = features(project), features(project), features(project, seed=1)
    for name in SHAPES:
        np.testing.assert_array_equal(first[name], again[name])
    np.testing.assert_array_equal(first["train"][0], other["train"][0])
    assert (first["train"][1:] != other["train"][1:]).any()


def test_the_images_that_select_are_never_augmented(project):
    before, after = (
        features(project),
        features(project, augment=COMMON["augment"] | {"cutout": True, "augmix": False}, views=2),
    )
    np.testing.assert_array_equal(before["selection"], after["selection"])
    assert after["train"].shape == (2, 28, 512)
