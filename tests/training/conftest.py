"""A small project to train in: what the stages before the trainings leave."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn.modules.module import register_module_forward_hook

from study.data.splits import Facts, Split, save_facts, save_split
from study.features.augment import Augment
from study.features.frozen_features import features_path, training_views, write_pooled
from study.networks.classifier import Classifier, Head, backbone_path, pretrained
from study.pipeline.params import read_params
from study.pipeline.torchvision_shim import torchvision

CLASSES = ["red", "green", "blue"]
SIZES = {"train": 36, "selection": 12}
BACKBONE, IMAGE_SIZE, VIEWS = "mobilenet_v3_small", 32, 2


class Project(NamedTuple):
    root: Path
    params: dict[str, Any]


@pytest.fixture
def project(tmp_path):
    """Pictures of three colours under noise, the features that a random backbone makes of them, and params.yaml."""
    params = read_params(Path(__file__).parents[2] / "params.yaml")
    train = params["train"]
    train["common"] |= {"image_size": IMAGE_SIZE, "views": VIEWS, "batch_size": 12}
    train["scratch"] |= {"batch_size": 12}
    params["backbone"] |= {"name": BACKBONE, "head": {"hidden": [], "dropout": 0.1}}
    for phase, epochs in ((train["common"]["probe"], 3), (train["fc"], 3), (train["layer4"], 2), (train["full"], 2)):
        phase["epochs"] = epochs
    train["scratch"]["epochs"] = 2

    for folder in ("backbone", "subset", "features"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    state = torchvision.models.get_model(BACKBONE, weights=None).state_dict()
    without_classifier = {name: tensor for name, tensor in state.items() if not name.startswith("classifier.")}
    save_file(without_classifier, backbone_path(tmp_path), {"backbone": BACKBONE})
    save_facts(Facts("colours", CLASSES, mirrors=True), tmp_path / "data/subset")
    model = pretrained(tmp_path, Head(hidden=[], dropout=0.0), CLASSES, IMAGE_SIZE)
    augment, rng = Augment(**train["common"]["augment"]), np.random.default_rng(0)
    for name, count in SIZES.items():
        labels = np.arange(count) % len(CLASSES)
        noise = rng.integers(0, 200, (count, 32, 32, 3))
        images = (noise + 55 * np.eye(3, dtype=int)[labels][:, None, None]).astype(np.uint8)
        save_split(Split(images, labels, np.arange(count)), tmp_path / "data/subset", name)
        views, shape, dtype = [images], (count,), np.float32
        if name == "train":
            views, shape, dtype = training_views(images, VIEWS, augment, 0), (VIEWS, count), np.float16
        write_pooled(model, features_path(tmp_path, name), views, shape, dtype)
    return Project(tmp_path, params)


@pytest.fixture
def looks():
    """(whether it trains, pixels per side) for each batch that a Classifier takes from here on."""
    seen = []

    def note(module, *_):
        if isinstance(module, Classifier):
            seen.append((module.training, module.image_size))

    hook = register_module_forward_hook(note)
    yield seen
    hook.remove()


@pytest.fixture(autouse=True)
def _as_it_was_before():
    """A training makes its process deterministic: give the next test the usual one."""
    yield
    torch.use_deterministic_algorithms(False)
