import numpy as np
import pytest
import torch

from study.attribution.cam import cams
from study.networks.classifier import Classifier, Head, blocks, trainable
from study.networks.light_classifier import LIGHT_RESNET, LightClassifier


@pytest.fixture
def classifier(images):
    torch.manual_seed(0)
    model = LightClassifier(Head(hidden=[], dropout=0.0), ["plane", "bird", "cat"], 32, LIGHT_RESNET)
    model.whiten(images)
    return model.eval()


def test_it_is_a_classifier_cut_at_the_same_places(classifier, images):
    images = torch.from_numpy(images)
    maps = classifier.trunk(classifier.preprocess(images))
    logits = classifier.head(classifier.tail(maps))
    assert logits.shape == (len(images), 3)
    assert torch.equal(Classifier.forward(classifier, images), logits)
    assert all(parameter.requires_grad for parameter in trainable(classifier, "full").parameters())


def test_an_image_and_its_mirror_image_have_the_same_logits(classifier, images):
    mirrored = torch.from_numpy(images[:, :, ::-1].copy())
    images = torch.from_numpy(images)
    torch.testing.assert_close(classifier(images), classifier(mirrored))
    looks = [Classifier.forward(classifier, view) for view in (images, mirrored)]
    assert not torch.allclose(*looks)
    torch.testing.assert_close(classifier(images), (looks[0] + looks[1]) / 2)


def test_its_map_is_of_the_image_and_not_of_its_mirror_image(classifier, images):
    seen = {}
    classifier.map_module("layer3").register_forward_hook(lambda *args: seen.setdefault("activations", args[2]))
    maps = cams(classifier, images[:4], np.zeros(4, dtype=np.int64), "layer3")["hirescam"]
    activations = seen["activations"].detach().requires_grad_()
    logits = classifier.head(classifier.tail(activations))[:, 0].sum() / 2
    (gradient,) = torch.autograd.grad(logits, activations)
    np.testing.assert_allclose(maps, (gradient * activations).sum(1).relu().detach().numpy(), atol=1e-6)


@pytest.mark.parametrize("image_size", [32, 45, 64])
@pytest.mark.parametrize("layer", ["layer2", "layer3", "layer4"])
def test_map_size_is_that_of_the_layer_s_map(classifier, images, layer, image_size):
    sizes = []
    classifier.image_size = image_size
    hook = classifier.map_module(layer).register_forward_hook(lambda *args: sizes.append(args[2].shape[2:]))
    classifier(torch.from_numpy(images))
    hook.remove()
    assert sizes == 2 * [2 * (classifier.map_size(layer, image_size),)]


def test_its_blocks_are_randomised_from_the_head_down(classifier):
    names = ("tail.layer4.1", "tail.layer4.0", "trunk.layer3.1", "trunk.layer3.0", "trunk.layer2.1", "trunk.layer2.0")
    assert list(blocks(classifier)) == ["head", *names]


def test_whitening_goes_by_the_images_that_it_is_given(classifier, images):
    before = classifier.trunk.whitening.weight.clone()
    classifier.whiten(images // 2)
    assert not torch.equal(classifier.trunk.whitening.weight, before)
