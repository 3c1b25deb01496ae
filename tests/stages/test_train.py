"""The four trainings, on forty images, with no more of params.yaml than dvc.yaml declares for them."""

import copy

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file, save_file

from stages import features, train_fc, train_full, train_layer4, train_scratch
from study.data.splits import Facts, Split, save_facts, save_split
from study.networks.classifier import backbone_path
from study.networks.loading import load_model
from study.networks.stages import backbone_state
from study.pipeline.files import read_json
from study.pipeline.params import Refusal
from study.sources.backbone_weights import backbone_weights, rescaled
from tests.test_dvc_yaml import PARAMS, declared_params

TRAIN = {"fc": train_fc, "layer4": train_layer4, "full": train_full, "scratch": train_scratch}
CLASSES = ["plane", "bird", "cat"]
SMALL = copy.deepcopy(PARAMS)
SMALL["backbone"]["head"]["hidden"] = [16]
SMALL["train"]["common"] |= {"image_size": 32, "views": 2, "batch_size": 10}
SMALL["train"]["common"]["probe"]["epochs"] = 3
SMALL["train"]["scratch"]["batch_size"] = 10
for variant in TRAIN:
    SMALL["train"][variant]["epochs"] = 2
CURVE = ["phase", "epoch", "lr", "train_loss", "val_loss", "val_accuracy"]
PHASES = {
    "fc": ["fc"] * 2,
    "layer4": ["head"] * 3 + ["layer4"] * 2,
    "full": ["head"] * 3 + ["full"] * 2,
    "scratch": ["scratch"] * 2,
}
WRITTEN = ["cost.json", "curve.csv"]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with a random backbone, 28 images to train on and 12 to select, each class of its own brightness."""
    root = tmp_path_factory.mktemp("project")
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 3
    images = (80 * labels[:, None, None, None] + rng.integers(0, 60, (40, 32, 32, 3))).astype(np.uint8)
    (root / "data/backbone").mkdir(parents=True)
    state = rescaled("resnet18", backbone_weights("resnet18", "none", root), images)
    save_file(state, root / "data/backbone/weights.safetensors", {"backbone": "resnet18"})
    (root / "data/subset").mkdir()
    for name, rows in (("train", slice(0, 28)), ("selection", slice(28, 40))):
        save_split(Split(images[rows], labels[rows], np.arange(40)[rows]), root / "data/subset", name)
    save_facts(Facts("made up", CLASSES, mirrors=True), root / "data/subset")
    features.run(declared_params("features", SMALL), root)
    return root


def train(root, variant, params=SMALL):
    TRAIN[variant].run(declared_params(f"train_{variant}", params), root)


@pytest.fixture(scope="module")
def trained(project):
    """The project after the four trainings."""
    for variant in TRAIN:
        train(project, variant)
    return project


@pytest.mark.parametrize("variant", TRAIN)
def test_a_training_leaves_its_model_curve_and_cost(trained, variant):
    folder = trained / "results/training" / variant
    assert sorted(path.name for path in folder.iterdir()) == WRITTEN
    curve = pd.read_csv(folder / "curve.csv")
    assert list(curve) == CURVE
    assert curve["phase"].tolist() == PHASES[variant]
    assert len(read_json(folder / "cost.json")["epoch_seconds"]) == len(curve)
    assert load_model(trained, variant, mirror=True).config["classes"] == CLASSES


def test_nothing_else_is_left(trained):
    assert {path.name for path in (trained / "models").iterdir()} == {f"{name}.safetensors" for name in TRAIN}
    assert sorted(path.name for path in (trained / "results").iterdir()) == ["training"]
    assert list((trained / ".cache/checkpoints").iterdir()) == []


@pytest.mark.parametrize(
    ("variant", "learned"),
    [("fc", set()), ("layer4", {"layer4"}), ("full", {"stem", "layer1", "layer2", "layer3", "layer4"})],
)
def test_what_is_not_of_its_depth_stays_the_backbone_s(trained, variant, learned):
    backbone, model = load_file(backbone_path(trained)), load_model(trained, variant, mirror=False)
    state = {name: value.float() for name, value in backbone_state(model.backbone).items()}
    stage_of = {name.partition(".")[2]: name.partition(".")[0] for name in model.backbone.state_dict()}
    assert {stage_of[name] for name, value in state.items() if not value.equal(backbone[name].float())} == learned


def test_the_learning_rate_of_a_depth_is_its_own_and_that_of_the_head_before_it_the_probe_s(trained):
    for variant in ("layer4", "full"):
        peaks = pd.read_csv(trained / f"results/training/{variant}/curve.csv").groupby("phase")["lr"].max()
        assert peaks["head"] <= SMALL["train"]["common"]["probe"]["lr"]
        assert peaks[variant] <= SMALL["train"][variant]["lr"]


@pytest.mark.parametrize("variant", ["fc", "scratch"])
def test_the_same_seed_trains_to_the_same_bytes_and_another_seed_to_others(trained, variant):
    def written(params):
        train(trained, variant, params)
        names = (f"models/{variant}.safetensors", f"results/training/{variant}/curve.csv")
        return [(trained / name).read_bytes() for name in names]

    other = copy.deepcopy(SMALL)
    other["train"]["scratch" if variant == "scratch" else "common"]["seed"] = 1
    before = written(SMALL)
    assert written(other)[0] != before[0]
    assert written(SMALL) == before


@pytest.mark.parametrize("variant", TRAIN)
def test_the_recipe_is_shared_by_all_and_a_bad_one_refused(project, variant):
    bad = copy.deepcopy(SMALL)
    bad["train"]["common"]["recipe"]["optimizer"] = "lion"
    with pytest.raises(Refusal, match=r"train\.common\.recipe\.optimizer = 'lion'"):
        train(project, variant, bad)
