"""A small project to train in: what the stages before the trainings leave."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn.modules.module import register_module_forward_hook

from study.data.splits import Split, save_classes, save_split
from study.features.augment import Augment
from study.features.frozen_features import training_views, write_features
from study.networks.classifier import Classifier, Head, pretrained
from study.pipeline.params import read_params
from study.pipeline.torchvision_shim import torchvision

CLASSES = ["red", "green", "blue"]
SIZES = {"train": 36, "val": 24}
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
    train["full"] |= {"first_image_size": None}
    params["backbone"] |= {"name": BACKBONE, "head": {"hidden": [], "dropout": 0.1}}
    for phase, epochs in ((train["common"]["probe"], 3), (train["fc"], 3), (train["layer4"], 2), (train["full"], 2)):
        phase["epochs"] = epochs
    train["scratch"]["epochs"] = 2

    backbone, subset, features = (tmp_path / "data" / name for name in ("backbone", "subset", "features"))
    for folder in (backbone, subset, features):
        folder.mkdir(parents=True)
    state = torchvision.models.get_model(BACKBONE, weights=None).state_dict()
    without_classifier = {name: tensor for name, tensor in state.items() if not name.startswith("classifier.")}
    save_file(without_classifier, backbone / "weights.safetensors", {"backbone": BACKBONE})
    save_classes(CLASSES, subset)
    model = pretrained(backbone / "weights.safetensors", Head(hidden=[], dropout=0.0), CLASSES, IMAGE_SIZE)
    augment, rng = Augment(**train["common"]["augment"]), np.random.default_rng(0)
    for name, count in SIZES.items():
        labels = np.arange(count) % len(CLASSES)
        noise = rng.integers(0, 200, (count, 32, 32, 3))
        images = (noise + 55 * np.eye(3, dtype=int)[labels][:, None, None]).astype(np.uint8)
        save_split(Split(images, labels, np.arange(count)), subset, name)
        views, dtype = (VIEWS, np.float16) if name == "train" else (1, np.float32)
        write_features(model, features, name, training_views(images, views, augment, 0), (views, count), dtype)
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
