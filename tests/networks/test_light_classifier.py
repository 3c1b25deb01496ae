import pytest
import torch

from study.networks.classifier import Head, blocks, trainable
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
    assert torch.equal(classifier(images), logits)
    assert all(parameter.requires_grad for parameter in trainable(classifier, "full").parameters())


def test_an_image_and_its_mirror_image_get_the_same_logits_with_mirror_and_other_ones_without(classifier, images):
    one, other = torch.from_numpy(images), torch.from_numpy(images[:, :, ::-1].copy())
    alone = classifier(one), classifier(other)
    assert not torch.allclose(*alone)
    classifier.mirror = True
    torch.testing.assert_close(classifier(one), (alone[0] + alone[1]) / 2)
    torch.testing.assert_close(classifier(one), classifier(other))


@pytest.mark.parametrize("image_size", [32, 45, 64])
@pytest.mark.parametrize("layer", ["layer2", "layer3", "layer4"])
def test_map_size_is_that_of_the_layer_s_map(classifier, images, layer, image_size):
    sizes = []
    classifier.image_size = image_size
    hook = classifier.map_module(layer).register_forward_hook(lambda *args: sizes.append(args[2].shape[2:]))
    classifier(torch.from_numpy(images))
    hook.remove()
    assert sizes == [2 * (classifier.map_size(layer, image_size),)]


def test_its_blocks_are_randomised_from_the_head_down(classifier):
    names = ("tail.layer4.1", "tail.layer4.0", "trunk.layer3.1", "trunk.layer3.0", "trunk.layer2.1", "trunk.layer2.0")
    assert list(blocks(classifier)) == ["head", *names]


def test_whitening_goes_by_the_images_that_it_is_given(classifier, images):
    before = classifier.trunk.whitening.weight.clone()
    classifier.whiten(images // 2)
    assert not torch.equal(classifier.trunk.whitening.weight, before)
