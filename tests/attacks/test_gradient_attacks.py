from collections import OrderedDict

import numpy as np
import pytest
import torch
import torchattacks
from torch import nn
from torch.nn import functional as F

from study.attacks.gradient_attacks import (
    Adversarial,
    Tempered,
    ascent,
    attacks,
    fgsm,
    logits,
    margins,
    pgd,
    uniform_noise,
)
from study.pipeline.params import Refusal, parse

SIDE = 6


class Small(nn.Module):
    """A smooth network of two classes over images (N, 6, 6, 3) in [0, 255]; over two classes the margin and the
    cross-entropy point the same way, so that an attack by either is an oracle for the other."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(SIDE * SIDE * 3, 16), nn.Tanh(), nn.Linear(16, 2, bias=False)
        )

    def forward(self, images):
        return self.layers(images.float() / 64 - 2)


class Planar(nn.Module):
    """The same network as torchattacks wants it: images (N, 3, 6, 6) in [0, 1]."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network(255 * images.permute(0, 2, 3, 1))


class Linear(nn.Module):
    """Logits (0, sum of weight * image)."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(torch.as_tensor(weight, dtype=torch.float32))

    def forward(self, images):
        right = (self.weight * images.float()).flatten(1).sum(dim=1)
        return torch.stack([torch.zeros_like(right), right], dim=1)


@pytest.fixture
def network():
    return Small().eval()


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (120, SIDE, SIDE, 3), dtype=np.uint8)  # some at the bounds


@pytest.fixture
def labels(network, pictures):
    return predicted(network, pictures)  # all right, until they are attacked


def predicted(network, images):
    with torch.no_grad():
        return network(torch.from_numpy(images)).argmax(dim=1).numpy()


def planar(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2) / 255


def uint8(images):
    return torch.round(255 * images).to(torch.uint8).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("epsilon", [1, 2, 4, 8])
def test_fgsm_agrees_with_torchattacks(network, pictures, labels, epsilon):
    oracle = torchattacks.FGSM(Planar(network), eps=epsilon / 255)
    expected = uint8(oracle(planar(pictures), torch.from_numpy(labels)))
    np.testing.assert_array_equal(fgsm(pictures, ascent(network, pictures, labels), epsilon), expected)
    assert np.mean(expected != pictures) > 0.9


@pytest.mark.parametrize(("epsilon", "step"), [(1, 1), (2, 1), (4, 2), (8, 2)])
def test_pgd_agrees_with_torchattacks_up_to_the_first_image_that_is_misclassified(
    network, pictures, labels, epsilon, step
):
    expected, wrong = pictures.copy(), np.zeros(len(labels), dtype=bool)
    for steps in range(1, 6):
        oracle = torchattacks.PGD(Planar(network), eps=epsilon / 255, alpha=step / 255, steps=steps, random_start=False)
        attacked = uint8(oracle(planar(pictures), torch.from_numpy(labels)))
        expected[~wrong] = attacked[~wrong]
        wrong = predicted(network, expected) != labels
    attacked, flat = pgd(network, pictures, labels, pictures, epsilon, steps=5)
    np.testing.assert_array_equal(attacked, expected)
    assert np.mean(attacked != pictures) > 0.5
    assert not flat.any()


def test_fgsm_is_the_worst_that_a_linear_classifier_can_meet():
    weight = np.random.default_rng(0).normal(size=(SIDE, SIDE, 3))
    image = np.full((1, SIDE, SIDE, 3), 100, dtype=np.uint8)  # far from the bounds
    network = Linear(weight)
    attacked = fgsm(image, ascent(network, image, np.array([1])), 4)
    np.testing.assert_array_equal(attacked[0], 100 - 4 * np.sign(weight))
    change = (network(torch.from_numpy(image)) - network(torch.from_numpy(attacked)))[0, 1].item()
    assert change == pytest.approx(4 * np.abs(weight).sum(), rel=1e-4)


def test_the_margin_is_the_best_wrong_logit_less_the_right_one():
    scores = torch.tensor([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [3.0, 3.0, 0.0]])
    assert margins(scores, torch.tensor([0, 1, 0])).tolist() == [2 - 3, 3 - 1, 3 - 3]


def test_a_gradient_is_found_where_that_of_the_cross_entropy_is_zero():
    weight = torch.full((SIDE, SIDE, 3), 0.02)
    image = np.full((1, SIDE, SIDE, 3), 100, dtype=np.uint8)
    network = Linear(weight)
    inputs = torch.from_numpy(image).float().requires_grad_()
    loss = F.cross_entropy(network(inputs), torch.tensor([1]))  # at a margin of 108 * 100 * 0.02 = 216
    assert not torch.autograd.grad(loss, inputs)[0].any()
    np.testing.assert_array_equal(ascent(network, image, np.array([1])), -np.ones_like(image, dtype=np.int8))


@pytest.mark.parametrize("temperature", [0.1, 1.7, 20])
def test_a_temperature_does_not_change_the_direction(network, pictures, labels, temperature):
    np.testing.assert_array_equal(
        ascent(Tempered(network, temperature), pictures, labels), ascent(network, pictures, labels)
    )


def test_an_image_without_a_gradient_is_reported_and_left(pictures):
    network = Linear(torch.zeros(SIDE, SIDE, 3))
    labels = np.ones(len(pictures), dtype=np.int64)  # a tie, which is not yet a mistake
    assert not ascent(network, pictures, labels).any()
    attacked, flat = pgd(network, pictures, labels, pictures, epsilon=4, steps=3)
    np.testing.assert_array_equal(attacked, pictures)
    assert flat.all()


@pytest.mark.parametrize("epsilon", [1, 3, 8])
def test_no_attack_goes_further_than_epsilon_or_out_of_uint8(network, pictures, labels, epsilon):
    block = Adversarial(images=120, epsilons=[epsilon], steps=7, seed=0)
    found = list(attacks(network, pictures, labels, block))
    assert [(attacked.attack, attacked.epsilon) for attacked in found] == [
        ("clean", 0), ("noise", epsilon), ("fgsm", epsilon), ("pgd", epsilon)
    ]  # fmt: skip
    np.testing.assert_array_equal(found[0].images, pictures)
    for attacked in found[1:]:
        assert attacked.images.dtype == np.uint8
        assert np.abs(attacked.images.astype(int) - pictures).max() == epsilon  # no wrap from 0 to 255


def test_pgd_starts_where_it_is_told(network, pictures, labels):
    start = uniform_noise(pictures, 8, seed=0)
    attacked, _ = pgd(network, pictures, labels, start, epsilon=8, steps=1)
    unmoved = predicted(network, start) != labels
    np.testing.assert_array_equal(attacked[unmoved], start[unmoved])
    moves = np.abs(attacked[~unmoved].astype(int) - start[~unmoved])
    assert set(np.unique(moves)) == {0, 1, 2}  # a step of 2, less at the bounds


def test_pgd_is_no_weaker_than_fgsm_and_both_are_stronger_than_noise(network, pictures, labels):
    block = Adversarial(images=120, epsilons=[8], steps=10, seed=0)
    right = {
        attacked.attack: np.mean(predicted(network, attacked.images) == labels)
        for attacked in attacks(network, pictures, labels, block)
    }
    assert right["pgd"] <= right["fgsm"] < right["noise"] - 0.1
    assert right["clean"] == 1


def test_the_whole_classifier_is_attacked_and_stays_as_it_was(model, images):
    model.train()
    before = OrderedDict((name, tensor.clone()) for name, tensor in model.state_dict().items())
    directions = ascent(model, images, np.zeros(len(images), dtype=np.int64))
    assert np.mean(directions != 0) > 0.99  # every pixel has a say, through the resizing
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_an_image_is_attacked_alike_whatever_stands_beside_it(network, pictures, labels):
    start = uniform_noise(pictures, 4, seed=0)
    together, _ = pgd(network, pictures, labels, start, 4, 5)
    alone, _ = pgd(network, pictures[70:71], labels[70:71], start[70:71], 4, 5)
    np.testing.assert_array_equal(together[70:71], alone)


def test_logits_are_those_of_the_network_in_evaluation_mode(model, images):
    expected = model(torch.from_numpy(images)).detach().numpy()
    np.testing.assert_allclose(logits(model.train(), images), expected, rtol=1e-5, atol=1e-6)


def test_noise_is_even_over_the_whole_numbers_from_minus_to_plus_epsilon():
    grey = np.full((200, SIDE, SIDE, 3), 128, dtype=np.uint8)
    moves = uniform_noise(grey, 2, seed=0).astype(int) - 128
    values, counts = np.unique(moves, return_counts=True)
    assert values.tolist() == [-2, -1, 0, 1, 2]
    assert counts / moves.size == pytest.approx(np.full(5, 1 / 5), abs=0.01)


def test_noise_depends_on_the_seed_and_the_epsilon():
    grey = np.full((2, SIDE, SIDE, 3), 128, dtype=np.uint8)
    np.testing.assert_array_equal(uniform_noise(grey, 8, seed=0), uniform_noise(grey, 8, seed=0))
    assert (uniform_noise(grey, 8, seed=0) != uniform_noise(grey, 8, seed=1)).any()


BLOCK = {"images": 200, "epsilons": [1, 2, 4, 8], "steps": 10, "seed": 0}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"images": 9}, "adversarial.images = 9: .*greater than or equal to 10"),
        ({"epsilons": []}, r"adversarial.epsilons = \[\]: .*at least 1"),
        ({"epsilons": [0]}, "adversarial.epsilons.0 = 0: .*greater than or equal to 1"),
        ({"epsilons": [0.5]}, "adversarial.epsilons.0 = 0.5: .*integer"),
        ({"epsilons": [256]}, "adversarial.epsilons.0 = 256: .*less than or equal to 255"),
        ({"epsilons": [2, 1]}, r"adversarial.epsilons = \[2, 1\]: list them from the smallest"),
        ({"epsilons": [2, 2]}, r"adversarial.epsilons = \[2, 2\]: .*each once"),
        ({"steps": 0}, "adversarial.steps = 0: .*greater than or equal to 1"),
        ({"seed": -1}, "adversarial.seed = -1: .*greater than or equal to 0"),
        ({"alpha": 2}, "adversarial.alpha is not a known parameter"),
    ],
)
def test_a_bad_parameter_is_refused_in_one_line(change, line):
    with pytest.raises(Refusal, match=line) as refusal:
        parse({"adversarial": BLOCK | change}, "adversarial", Adversarial)
    assert "\n" not in str(refusal.value)


def test_the_block_keeps_what_it_was_given():
    assert parse({"adversarial": BLOCK}, "adversarial", Adversarial).model_dump() == BLOCK
