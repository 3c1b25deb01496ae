from functools import partial

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from study.attribution.cam import cams
from study.attribution.randomisation import between_images, cascade, cascade_correlations, rank_correlation
from study.networks.backbones import untrained
from study.networks.classifier import Classifier, Head

CLASSES = ["plane", "bird", "cat"]


@pytest.fixture
def trained():
    """A model whose parameters and batch norm statistics are all unlike those that a new one has."""
    torch.manual_seed(0)
    model = Classifier(untrained("resnet18"), Head(hidden=[8], dropout=0.5), CLASSES, image_size=64).eval()
    for tensor in model.state_dict().values():
        tensor.copy_(tensor * 1.5 + 0.25) if tensor.is_floating_point() else tensor.add_(1)
    return model


ORDER = [
    "head",
    *("layer4.1", "layer4.0", "layer3.1", "layer3.0", "layer2.1", "layer2.0", "layer1.1", "layer1.0"),
    *("bn1", "conv1"),
]


def owner(tensor):
    """The entry of ORDER that a tensor of the state belongs to."""
    if tensor.startswith("head."):
        return "head"
    path = tensor.split(".", 2)[2]  # without backbone and the stage
    (name,) = (name for name in ORDER if path.startswith(f"{name}."))
    return name


def test_layers_lose_what_they_learned_one_after_another_from_the_head_down(trained):
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    seen = []
    for step, (layer, network) in enumerate(cascade(trained, seed=0)):
        seen.append(layer)
        for name, tensor in network.state_dict().items():
            assert torch.equal(tensor, before[name]) == (owner(name) not in ORDER[: step + 1]), name
        assert not network.training
    for name, tensor in trained.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert seen == ORDER


def test_the_seed_decides_and_torchs_own_random_state_stays(trained):
    def last_weights(seed):
        *_, (_, network) = cascade(trained, seed)
        return network.stage("stem.conv1").weight.detach().clone()

    state = torch.random.get_rng_state()
    first = last_weights(0)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(last_weights(0), first)
    assert not torch.equal(last_weights(1), first)


def test_rank_correlations_are_scipys():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 6, (2, 20, 4, 4)).astype(np.float32)  # with ties
    expected = [spearmanr(one.ravel(), other.ravel()).statistic for one, other in zip(first, second, strict=True)]
    np.testing.assert_allclose(rank_correlation(first, second), expected, rtol=0, atol=1e-12)


def test_a_map_of_zeros_is_like_no_other():
    maps = np.stack([np.zeros((4, 4)), np.arange(16.0).reshape(4, 4)])
    assert rank_correlation(maps, maps[::-1]).tolist() == [0, 0]
    assert rank_correlation(maps, maps).tolist() == [0, pytest.approx(1)]


def test_the_correlations_are_with_the_trained_model_s_maps_at_every_step(trained, images):
    explain = partial(cams, images=images[:8], classes=np.arange(8) % 3, layer="layer3")
    maps = explain(trained)
    correlations = cascade_correlations(trained, maps, explain, seed=0)
    assert list(correlations) == ORDER
    for of in correlations.values():
        assert {method: values.shape for method, values in of.items()} == dict.fromkeys(maps, (8,))
    last = list(cascade(trained, seed=0))[-1][1]
    expected = {method: rank_correlation(maps[method], those) for method, those in explain(last).items()}
    for method, values in correlations["conv1"].items():
        np.testing.assert_array_equal(values, expected[method])


def test_between_images_each_map_is_set_beside_its_neighbour():
    up, down = np.arange(16.0).reshape(4, 4), -np.arange(16.0).reshape(4, 4)
    between = between_images({"grad_cam": np.stack([up, up, down])})
    np.testing.assert_allclose(between["grad_cam"], [-1, 1, -1], atol=1e-12)
