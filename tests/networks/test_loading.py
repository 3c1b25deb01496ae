import pytest
import torch
from safetensors.torch import save_file

from study.networks.backbones import untrained
from study.networks.classifier import Classifier, Head, save_classifier
from study.networks.loading import LIGHT_RESNET, light_backbone, load_classifier, load_model, untrained_like, whiten
from study.pipeline.params import Refusal

CLASSES = ["plane", "bird", "cat"]
HEAD = Head(hidden=[8], dropout=0.5)


def classifier(name):
    return Classifier(light_backbone() if name == LIGHT_RESNET else untrained(name), HEAD, CLASSES, 32).eval()


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", LIGHT_RESNET])
def test_a_saved_classifier_comes_back_whole(name, mirror, images, tmp_path):
    model = classifier(name)
    save_classifier(model, tmp_path / "models/some.safetensors")
    loaded = load_model(tmp_path, "some", mirror)
    model.mirror = mirror
    batch = torch.from_numpy(images)
    assert torch.equal(loaded(batch), model(batch))
    assert (loaded.config, loaded.training) == (model.config, False)


def test_a_model_of_an_earlier_version_is_refused_with_what_to_do(tmp_path):
    model = classifier("resnet18")
    save_classifier(model, tmp_path / "new.safetensors")
    config = {
        "config": '{"backbone": "resnet18", "head": {"hidden": [], "dropout": 0.0}, "classes": [], "image_size": 32}'
    }
    save_file({"trunk.conv1.weight": torch.zeros(1), "tail.x": torch.zeros(1)}, tmp_path / "old.safetensors", config)
    with pytest.raises(
        Refusal, match=r"old\.safetensors was written by an earlier version .*: train it anew with `dvc repro`$"
    ):
        load_classifier(tmp_path / "old.safetensors", mirror=False)


@pytest.mark.parametrize("name", ["resnet18", LIGHT_RESNET])
def test_the_same_network_drawn_anew_has_other_numbers_in_the_same_places(name):
    model = classifier(name)
    torch.manual_seed(1)
    other = untrained_like(model)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    assert {name: tensor.shape for name, tensor in other.state_dict().items()} == shapes
    assert not torch.equal(other.stage("layer4").state_dict().popitem()[1], torch.zeros(1))
    assert not torch.equal(other.head[1].weight, model.head[1].weight)


def test_whitening_fits_the_first_layer_of_the_light_network_to_images(images):
    model = classifier(LIGHT_RESNET)
    before = model.stage("stem.whitening").weight.clone()
    whiten(model, images)
    maps = model.stage("stem.whitening")(model.preprocess(torch.from_numpy(images)))[:, :12]
    of_places = maps.permute(0, 2, 3, 1).reshape(-1, 12)
    moments = of_places.T @ of_places / len(of_places)
    assert not torch.equal(model.stage("stem.whitening").weight, before)
    torch.testing.assert_close(moments, torch.diag(moments.diag()), atol=1e-3, rtol=0)  # uncorrelated
