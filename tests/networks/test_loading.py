import pytest
import torch

from study.networks.classifier import Classifier, Head, save_classifier
from study.networks.light_classifier import LIGHT_RESNET, LightClassifier
from study.networks.loading import load_classifier

CLASSES = ["plane", "bird", "cat"]
HEAD = Head(hidden=[8], dropout=0.5)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize(
    ("kind", "name"), [(Classifier, "resnet18"), (Classifier, "mobilenet_v3_small"), (LightClassifier, LIGHT_RESNET)]
)
def test_a_saved_classifier_comes_back_whole(kind, name, mirror, images, tmp_path):
    model = kind(HEAD, CLASSES, 32, name).eval()
    save_classifier(model, tmp_path / "models/some.safetensors")
    loaded = load_classifier(tmp_path / "models/some.safetensors", mirror)
    model.mirror = mirror
    batch = torch.from_numpy(images)
    assert torch.equal(loaded(batch), model(batch))
    assert (type(loaded), loaded.config["classes"]) == (kind, CLASSES)
