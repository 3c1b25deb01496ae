import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from study.light_resnet.network import FLOOR, Whitening, light_resnet


@pytest.fixture
def pixels():
    """Smooth pictures: neighbouring pixels, and the colours of one, are alike."""
    torch.manual_seed(0)
    grey = nn.functional.interpolate(torch.randn(50, 1, 8, 8), size=(32, 32), mode="bilinear")
    return 0.3 + grey + 0.2 * torch.randn(50, 3, 32, 32)


@pytest.fixture
def network(pixels):
    torch.manual_seed(0)
    network, features = light_resnet()
    network.whitening.fit(pixels)
    return nn.Sequential(network, nn.Linear(features, 10)).eval()


def test_maps_and_features_have_the_sizes_that_explanations_rely_on(network, pixels):
    whole, head = network
    sides = {"whitening": (24, 31, 31), "layer2": (64, 15, 15), "layer3": (128, 7, 7), "layer4": (256, 3, 3)}
    maps = pixels
    for name, part in whole.named_children():
        maps = part(maps)
        if name in sides:
            assert maps.shape == (50, *sides[name])
    assert torch.equal(maps, whole(pixels))
    assert maps.shape == (50, head.in_features)


def test_it_has_two_million_parameters(network):
    kernels = [(24, 64), *[(64, 64)] * 2, (64, 128), *[(128, 128)] * 2, (128, 256), *[(256, 256)] * 2]
    expected = sum(9 * i * o + 2 * o for i, o in kernels) + 256 * 10 + 10  # batch norm: a weight and a bias a channel
    assert sum(parameter.numel() for parameter in network.parameters()) == expected == 1_936_010


def test_the_whitened_patches_are_uncorrelated_and_of_one_scale(pixels):
    layer = Whitening()
    layer.fit(pixels)
    whitened = layer(pixels)[:, :12].permute(0, 2, 3, 1).reshape(-1, 12).numpy()
    power = np.linalg.eigvalsh(second_moment(pixels.numpy()))[::-1]
    np.testing.assert_allclose(whitened.T @ whitened / len(whitened), np.diag(power / (power + FLOOR)), atol=1e-4)


def second_moment(pixels):
    """Of all patches of 2x2 pixels, (12, 12), by numpy."""
    windows = np.lib.stride_tricks.sliding_window_view(pixels.astype(np.float64), (2, 2), axis=(2, 3))
    patches = windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, 12)
    return patches.T @ patches / len(patches)


def test_every_direction_comes_with_both_signs(pixels):
    layer = Whitening()
    layer.fit(pixels)
    positive, negative = layer(pixels).chunk(2, dim=1)
    assert torch.equal(positive, -negative)


def test_no_training_changes_the_whitening(network, pixels):
    before = network[0].whitening.weight.clone()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, weight_decay=0.1)
    network.train()(pixels).square().mean().backward()
    optimizer.step()
    assert torch.equal(network[0].whitening.weight, before)


def test_a_residual_adds_to_its_input(network):
    residual = network[0].layer2[1]
    nn.init.zeros_(residual.branch[3].weight)
    maps = torch.randn(2, 64, 15, 15)
    assert torch.equal(residual(maps), maps)


def test_twenty_pictures_are_learned_by_heart(network, pixels):
    pixels, labels = pixels[:20], torch.arange(20) % 10
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    network.train()
    for _ in range(12):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(pixels), labels).backward()
        optimizer.step()
    assert (network(pixels).argmax(1) == labels).float().mean() > 0.9


@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:")  # torch 2.13 calls what it has deprecated
def test_onnxruntime_agrees_with_torch(network, pixels):
    program = torch.onnx.export(network, (pixels,), dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    (logits,) = session.run(None, {session.get_inputs()[0].name: pixels.numpy()})
    with torch.inference_mode():
        np.testing.assert_allclose(logits, network(pixels).numpy(), atol=1e-5)
