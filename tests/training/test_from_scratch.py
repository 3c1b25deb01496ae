import pytest
import torch
from torch import nn

from study.data.splits import load_split
from study.networks.classifier import Classifier, Head, backbone_path
from study.networks.loading import LIGHT_RESNET, light_backbone, load_model, whiten
from study.pipeline.files import read_json, read_table
from study.pipeline.params import Refusal, parse
from study.training import from_scratch
from study.training.from_scratch import FromScratch, train_from_scratch
from study.training.recipe import Recipe


def train(project):
    recipe = parse(project.params, "train.common.recipe", Recipe)
    train_from_scratch(recipe, parse(project.params, "train.scratch", FromScratch), project.root)
    return load_model(project.root, "scratch", mirror=False)


def test_a_training_leaves_a_light_classifier_its_curve_and_no_checkpoint(project):
    model = train(project)
    assert model.config["backbone"] == LIGHT_RESNET
    assert model.config["classes"] == ["red", "green", "blue"]
    assert [type(layer) for layer in model.head] == [nn.Dropout, nn.Linear]
    curve = read_table(project.root / "results/training/scratch/curve.csv")
    assert curve["phase"].tolist() == ["scratch"] * 2
    cost = read_json(project.root / "results/training/scratch/cost.json")
    assert cost["trainable_parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert not cost["cached_features"]
    assert list((project.root / ".cache/checkpoints").iterdir()) == []


def test_the_first_layer_is_fitted_to_the_first_images_and_never_trained(project, monkeypatch):
    monkeypatch.setattr(from_scratch, "WHITENED", 10)
    model = train(project)
    expected = Classifier(light_backbone(), Head(hidden=[], dropout=0.0), ["a", "b", "c"], 32)
    whiten(expected, load_split(project.root, "train").images[:10])
    assert torch.equal(model.stage("stem.whitening").weight, expected.stage("stem.whitening").weight)


def test_images_grow_from_the_first_epoch_s_size_to_its_own_at_which_it_is_judged_and_left(project, looks):
    project.params["train"]["scratch"] |= {"image_size": 64, "first_image_size": 32}
    model = train(project)
    # An epoch of 36 images is three batches of 12; the images that judge are one.
    assert looks == [*[(True, 32)] * 3, (False, 64), *[(True, 64)] * 3, (False, 64)]
    assert model.image_size == 64


@pytest.mark.parametrize(("side", "image_size"), [(16, 32), (32, 32), (96, 96)])
def test_without_a_size_of_its_own_the_network_sees_the_pictures_at_theirs(project, side, image_size):
    phase = parse(project.params, "train.scratch", FromScratch)
    assert phase.model_copy(update={"image_size": None}).image_size_for(side) == image_size
    assert phase.model_copy(update={"image_size": 64}).image_size_for(side) == 64


def test_a_network_trained_at_the_pictures_own_side_is_left_at_it(project):
    project.params["train"]["scratch"]["image_size"] = None
    assert train(project).image_size == load_split(project.root, "train").images.shape[1]


def test_neither_backbone_nor_features_are_read(project):
    for path in (backbone_path(project.root), *(project.root / "data/features").iterdir()):
        path.unlink()
    train(project)


def test_the_seed_decides_everything(project):
    first, again = train(project).state_dict(), train(project).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    project.params["train"]["scratch"]["seed"] = 1
    assert not torch.equal(train(project).head[1].weight, first["head.1.weight"])


def test_image_size_batch_size_and_seed_are_its_own(project):
    del project.params["train"]["scratch"]["image_size"]
    with pytest.raises(Refusal, match=r"train\.scratch\.image_size is missing"):
        train(project)
