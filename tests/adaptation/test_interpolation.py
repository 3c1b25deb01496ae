import copy

import numpy as np
import pytest
import torch
from torch import nn

from study.adaptation.interpolation import Interpolate, estimate_statistics, interpolated
from study.pipeline.params import Refusal, parse
from tests.training.learning import Pixels


def network(seed, batches):
    """A small network that has seen so many batches of noise."""
    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.BatchNorm2d(2)]
    net = nn.Sequential(*layers)
    for _ in range(batches):
        net(torch.randn(8, 3, 6, 6))
    return net.eval()


@pytest.fixture
def ends():
    return network(seed=0, batches=3), network(seed=1, batches=5)


def held(network):
    """Every tensor's bytes, by name."""
    return {name: tensor.numpy().tobytes() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("share", [0, 1])
def test_at_0_and_1_it_is_one_of_the_ends_to_the_byte(ends, share):
    assert held(interpolated(*ends, share)) == held(ends[share])


def test_at_a_quarter_every_weight_and_statistic_is_three_parts_of_the_first_and_one_of_the_second(ends):
    first, second = (end.state_dict() for end in ends)
    between = interpolated(*ends, 0.25).state_dict()
    assert list(between) == list(first)
    for name in [name for name in between if not name.endswith("num_batches_tracked")]:
        torch.testing.assert_close(between[name], 0.75 * first[name] + 0.25 * second[name])


def test_neither_end_is_changed_nor_shares_a_tensor_with_what_is_between(ends):
    before = [held(end) for end in ends]
    between = interpolated(*ends, 0.5)
    with torch.no_grad():
        for tensor in between.state_dict().values():
            tensor.zero_()
    assert [held(end) for end in ends] == before


@pytest.mark.parametrize(
    ("second", "tensor"),
    [
        (nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4)), "1.weight"),
        (nn.Sequential(nn.Linear(2, 3)), "1.bias"),
        (nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3), nn.Linear(3, 3)), "2.bias"),
    ],
)
def test_networks_of_other_tensors_are_refused_by_the_name_of_one(second, tensor):
    first = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3))
    with pytest.raises(ValueError, match=f"cannot be mixed: {tensor} is not in both, or not of one shape"):
        interpolated(first, second, 0.5)


@pytest.fixture
def norm():
    """A network of batch norm alone, which has learned other statistics than those of any image. In training mode."""
    layer = nn.BatchNorm2d(3)
    nn.init.constant_(layer.running_mean, 5)
    nn.init.constant_(layer.running_var, 7)
    return nn.Sequential(Pixels(), layer.double())


def test_statistics_are_those_of_the_images(norm, images):
    estimate_statistics(norm, images)
    pixels = images / 255
    np.testing.assert_allclose(norm[1].running_mean, pixels.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(norm[1].running_var, pixels.var(axis=(0, 1, 2), ddof=1))


@pytest.mark.parametrize("count", [500, 300, 251])  # of which 250 are passed at a time
def test_every_image_weighs_about_the_same_in_them_however_many_there_are(norm, count):
    images = np.random.default_rng(0).integers(0, 100, (count, 4, 4, 3), dtype=np.uint8)
    images[-1] = 255
    estimate_statistics(norm, images)
    np.testing.assert_allclose(norm[1].running_mean, images.mean(axis=(0, 1, 2)) / 255, atol=0.01 / count)


def test_one_image_more_than_are_passed_at_a_time_is_enough_for_maps_of_a_single_cell(norm):
    estimate_statistics(norm, np.random.default_rng(0).integers(0, 256, (251, 1, 1, 3), dtype=np.uint8))
    assert norm[1].running_mean.isfinite().all()


def test_the_network_is_left_in_evaluation_mode_with_its_weights(norm, images):
    network = nn.Sequential(*norm, nn.Conv2d(3, 2, 3).double(), nn.Dropout(0.5)).train()
    weights = copy.deepcopy(list(network.parameters()))
    estimate_statistics(network, images)
    assert not any(module.training for module in network.modules())
    assert all(torch.equal(now, before) for now, before in zip(network.parameters(), weights, strict=True))


BLOCK = {"shares": [0.25, 0.75], "train_images": 2000, "images": 500, "seed": 0}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"shares": [0.5, 0.0]}, r"interpolate.shares.1 = 0.0: .*greater than 0"),
        ({"shares": [1.0]}, r"interpolate.shares.0 = 1.0: .*less than 1"),
        ({"shares": []}, r"interpolate.shares = \[\]: .*at least 1"),
        ({"train_images": 9}, "interpolate.train_images = 9: .*greater than or equal to 10"),
        ({"share": 0.5}, "interpolate.share is not a known parameter"),
    ],
)
def test_a_bad_parameter_is_refused_in_one_line(change, line):
    with pytest.raises(Refusal, match=line) as refusal:
        parse({"interpolate": BLOCK | change}, "interpolate", Interpolate)
    assert "\n" not in str(refusal.value)


def test_the_block_keeps_what_it_was_given():
    assert parse({"interpolate": BLOCK}, "interpolate", Interpolate).model_dump() == BLOCK
