import copy
import math

import pytest
import torch
from torch import nn

from study.adaptation.batch_norm import Adapt, adapted
from study.pipeline.params import Refusal, parse


class NormAndReLU(nn.BatchNorm2d):
    """Batch norm that does more, as timm's BatchNormAct2d does."""

    def forward(self, maps):
        return super().forward(maps).relu()


@pytest.fixture(params=[nn.BatchNorm2d, NormAndReLU])
def network(request):
    """A convolution, then a nested block, each with a norm that has learned something. In evaluation mode."""
    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv2d(4, 5, 3), request.param(5), nn.ReLU())
    network = nn.Sequential(nn.Conv2d(3, 4, 3), request.param(4), block, nn.Flatten(), nn.Linear(5 * 4 * 4, 2))
    for norm in (network[1], block[1]):
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            nn.init.uniform_(tensor, 0.5, 1.5)
    return network.eval()


@pytest.fixture
def pixels():
    return torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def answer(network, pixels):
    return network(pixels)


def test_without_the_learned_statistics_it_is_the_network_in_training_mode(network, pixels):
    expected = answer(copy.deepcopy(network).train(), pixels)
    torch.testing.assert_close(answer(adapted(network, 0), pixels), expected)
    assert not torch.allclose(answer(network, pixels), expected, rtol=0.1)


def test_with_many_more_learned_images_than_are_seen_it_is_the_network_in_evaluation_mode(network, pixels):
    torch.testing.assert_close(answer(adapted(network, 1e9), pixels), answer(network, pixels))


def test_learned_and_seen_statistics_are_mixed_by_their_numbers_of_images():
    """Two images of 1 x 2 pixels, which count as two, beside six: the weights are 1/4 and 3/4."""
    norm = nn.BatchNorm2d(1, eps=1.0)
    nn.init.constant_(norm.weight, 10)
    nn.init.constant_(norm.bias, 7)
    norm.running_mean[:], norm.running_var[:] = 2, 9
    maps = torch.tensor([0.0, 2.0, 4.0, 6.0]).view(2, 1, 1, 2)  # mean 3, variance (9 + 1 + 1 + 9) / 4 = 5
    mean, variance = (3 * 2 + 3) / 4, (3 * 9 + 5) / 4
    expected = [10 * (value - mean) / math.sqrt(variance + 1) + 7 for value in (0, 2, 4, 6)]
    assert answer(adapted(nn.Sequential(norm), 6), maps).flatten().tolist() == pytest.approx(expected)


def test_each_batch_has_statistics_of_its_own(network, pixels):
    network = adapted(network, 4)
    alone = answer(network, pixels[:3])
    assert not torch.allclose(answer(network, pixels)[:3], alone, rtol=0.01)
    assert torch.equal(answer(network, pixels[:3]), alone)


@pytest.mark.parametrize("training", [True, False])
def test_the_network_given_stays_as_it_was(network, pixels, training):
    network.train(training)
    before, kinds = copy.deepcopy(network.state_dict()), [type(module) for module in network.modules()]
    changed = adapted(network, 3)
    answer(changed, pixels)
    assert not any(module.training for module in changed.modules())
    assert all(module.training is training for module in network.modules())
    assert [type(module) for module in network.modules()] == kinds
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


BLOCK = {"images": 500, "batch_sizes": [8, 32], "pseudo_count": 16}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"batch_sizes": [32, 8]}, r"adapt.batch_sizes = \[32, 8\]: .*batch sizes must rise"),
        ({"batch_sizes": [8, 8]}, r"adapt.batch_sizes = \[8, 8\]: .*batch sizes must rise"),
        ({"batch_sizes": []}, r"adapt.batch_sizes = \[\]: .*at least 1"),
        ({"batch_sizes": [1, 8]}, r"adapt.batch_sizes.0 = 1: .*greater than or equal to 2"),
        ({"pseudo_count": -1}, "adapt.pseudo_count = -1: .*greater than or equal to 0"),
        ({"momentum": 0.1}, "adapt.momentum is not a known parameter"),
    ],
)
def test_a_bad_parameter_is_refused_in_one_line(change, line):
    with pytest.raises(Refusal, match=line) as refusal:
        parse({"adapt": BLOCK | change}, "adapt", Adapt)
    assert "\n" not in str(refusal.value)


def test_the_block_keeps_what_it_was_given():
    assert parse({"adapt": BLOCK}, "adapt", Adapt).model_dump() == BLOCK
