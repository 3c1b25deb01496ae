import math
from collections import OrderedDict
from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from study.features.augment import BatchAugment
from study.networks.device import autocast
from study.pipeline.params import Refusal, parse
from study.training.recipe import MOMENTUM, ImagePhase, Learner, Phase, Recipe, divergence

RECIPE = Recipe(optimizer="sgd", schedule="onecycle", ema=0.0, clip=None, patience=None)
PHASE = Phase(epochs=1, lr=0.1, weight_decay=0.0, label_smoothing=0.0)
FIRST = PHASE.lr / 25  # learning rate of the first step


def settings(**knobs):
    """Recipe and phase, each with those of the knobs that are its own."""
    own = [{name: value for name, value in knobs.items() if hasattr(block, name)} for block in (RECIPE, PHASE)]
    assert sum(map(len, own)) == len(knobs)
    return RECIPE.model_copy(update=own[0]), PHASE.model_copy(update=own[1])


def network():
    """A head behind a tail, of the same numbers at every call."""
    torch.manual_seed(0)
    tail = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6))
    return nn.Sequential(OrderedDict(tail=tail, head=nn.Linear(6, 3)))


def examples(count=12):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 4, generator=generator), torch.arange(count) % 3


def movement(knobs, steps=1):
    """By how much each parameter moves in so many steps of a hundred."""
    net = network()
    before = [p.detach().clone() for p in net.parameters()]
    learner = Learner(net, *knobs, 100)
    for _ in range(steps):
        learner.step(*examples())
    return {name: p.detach() - start for (name, p), start in zip(net.named_parameters(), before, strict=True)}


def rates(knobs, steps):
    learner = Learner(network(), *knobs, steps)
    seen = []
    for _ in range(steps):
        seen.append(learner.lr)
        learner.step(*examples())
    return [*seen, learner.lr]


def norm(movements):
    return torch.cat([tensor.flatten() for tensor in movements.values()]).norm().item()


def gradient(net):
    inputs, labels = examples()
    with autocast():
        F.cross_entropy(net(inputs).float(), labels).backward()
    return {name: p.grad for name, p in net.named_parameters()}


def test_the_first_step_of_sgd_goes_down_the_gradient_with_nesterov_momentum():
    expected = {name: -FIRST * (1 + MOMENTUM) * grad for name, grad in gradient(network()).items()}
    torch.testing.assert_close(movement(settings()), expected, rtol=1e-4, atol=1e-7)


def test_the_first_step_of_adamw_is_the_learning_rate_whatever_the_gradient():
    steps = movement(settings(optimizer="adamw"))
    expected = {name: -FIRST * grad / (grad.abs() + 1e-8) for name, grad in gradient(network()).items()}
    torch.testing.assert_close(steps, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_weight_decay_shrinks_matrices_and_spares_biases_and_batch_norm(optimizer):
    free = movement(settings(optimizer=optimizer))
    decayed = movement(settings(optimizer=optimizer, weight_decay=0.5))
    moved = {name for name in free if not torch.equal(free[name], decayed[name])}
    assert moved == {"tail.0.weight", "head.weight"}


def test_decoupled_weight_decay_takes_its_share_of_the_weight_itself():
    free = movement(settings(optimizer="adamw"))["head.weight"]
    decayed = movement(settings(optimizer="adamw", weight_decay=0.5))["head.weight"]
    torch.testing.assert_close(decayed - free, -FIRST * 0.5 * network().head.weight.detach(), rtol=1e-3, atol=1e-6)


def test_onecycle_rises_in_a_fifth_of_the_steps_and_falls_linearly_to_nothing():
    seen = rates(settings(), 100)
    peak = 0.2 * 100 - 1  # step numbers start at 0
    rise = [FIRST + (0.1 - FIRST) * step / peak for step in range(20)]
    fall = [0.1 * (99 - step) / (99 - peak) for step in range(20, 99)]
    assert seen[:99] == pytest.approx(rise + fall, abs=1e-6)


def test_cosine_rises_in_a_twentieth_of_the_steps_and_falls_as_a_cosine_to_nothing():
    rise = [FIRST + (0.1 - FIRST) * step / 5 for step in range(5)]
    fall = [0.1 * (1 + math.cos(math.pi * step / 95)) / 2 for step in range(96)]
    assert rates(settings(schedule="cosine"), 100) == pytest.approx(rise + fall, abs=1e-9)


@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_shortest_trainings_have_a_schedule(schedule, steps):
    assert max(rates(settings(schedule=schedule), steps)) <= 0.1


def test_layer_decay_slows_each_stage_more_the_further_it_is_from_the_logits(model, images):
    targets = torch.arange(len(images)) % 3
    first = {}
    for decay in (1.0, 0.5):
        net = deepcopy(model)
        net.unfreeze_from("stem")
        before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
        Learner(net, RECIPE, PHASE, 100, decay).step(torch.from_numpy(images), targets)
        first[decay] = {name: parameter.detach() - before[name] for name, parameter in net.named_parameters()}
    shares = {"layer4": 1 / 2, "layer3": 1 / 4, "layer2": 1 / 8, "layer1": 1 / 16, "stem": 1 / 32}
    for name, step in first[1.0].items():
        share = shares[name.split(".")[1]] if name.startswith("backbone.") else 1.0
        torch.testing.assert_close(first[0.5][name], share * step, rtol=1e-3, atol=1e-6)


def test_the_learning_rate_told_is_the_head_s(model):
    model.unfreeze_from("layer3")
    assert Learner(model, RECIPE, PHASE, 100, 0.25).lr == Learner(model, RECIPE, PHASE, 100).lr == pytest.approx(FIRST)


def test_clipping_bounds_the_gradient_of_all_parameters_together():
    free, clipped = movement(settings()), movement(settings(clip=0.01))
    assert norm(free) > 0.01 * FIRST * (1 + MOMENTUM)
    assert norm(clipped) == pytest.approx(0.01 * FIRST * (1 + MOMENTUM), rel=1e-3)
    assert movement(settings(clip=1000.0)).keys() == free.keys()
    assert all(torch.equal(step, free[name]) for name, step in movement(settings(clip=1000.0)).items())


def test_the_moving_average_is_that_of_weights_and_of_batch_norms_statistics():
    net = network()
    learner = Learner(net, *settings(ema=0.5), 10)
    history = []
    for _ in range(3):
        learner.step(*examples())
        history.append({name: tensor.clone() for name, tensor in net.state_dict().items()})
    judged = learner.judged.state_dict()
    assert judged.keys() == net.state_dict().keys()
    for name in ("head.weight", "tail.1.weight", "tail.1.running_mean", "tail.1.running_var"):
        first, second, third = (state[name] for state in history)
        torch.testing.assert_close(judged[name], 0.25 * first + 0.25 * second + 0.5 * third)
        assert not torch.equal(judged[name], third)


def test_without_a_moving_average_the_network_itself_is_judged():
    net = network()
    assert Learner(net, *settings(), 10).judged is net


def test_label_smoothing_goes_on_top_of_the_shares_of_mixed_labels():
    net = nn.Linear(2, 2)
    nn.init.zeros_(net.weight)
    net.bias.data = torch.tensor([math.log(0.8), math.log(0.2)])
    loss = Learner(net, *settings(label_smoothing=0.1), 10).step(torch.zeros(1, 2), torch.tensor([[0.7, 0.3]]))
    shares = 0.9 * 0.7 + 0.1 / 2, 0.9 * 0.3 + 0.1 / 2
    assert loss.item() == pytest.approx(-shares[0] * math.log(0.8) - shares[1] * math.log(0.2), rel=1e-2)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("optimizer", "adam"),
        ("schedule", "step"),
        ("ema", 1.0),
        ("clip", 0.0),
        ("clip", float("inf")),
        ("patience", 0),
        ("patience", True),
    ],
)
def test_a_recipe_that_cannot_train_is_refused(field, value):
    with pytest.raises(ValueError, match=field):
        Recipe(**(RECIPE.model_dump() | {field: value}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("epochs", 1001),
        ("lr", 0.0),
        ("lr", 11.0),
        ("weight_decay", -0.1),
        ("label_smoothing", 1.0),
        ("optimizer", "sgd"),  # the recipe's, which all trainings share
    ],
)
def test_a_phase_that_cannot_train_is_refused(field, value):
    with pytest.raises(ValueError, match=field):
        Phase(**(PHASE.model_dump() | {field: value}))


@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
@pytest.mark.parametrize("steps", range(1, 9))
def test_a_training_may_be_of_a_few_steps(schedule, steps):
    assert max(rates(settings(schedule=schedule), steps)) <= PHASE.lr * (1 + 1e-9)


AUGMIX = BatchAugment(crop=False, flip=False, randaugment=False, cutout=False, augmix=True, mixup=0.0, cutmix=0.0)
CONSISTENT = ImagePhase(**PHASE.model_dump(), first_image_size=None, augment=AUGMIX, consistency=12.0, processes=1)


def test_divergence_is_the_mean_of_each_answers_kl_divergence_from_their_mean():
    logits = torch.randn(5, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    answers = logits.softmax(2)
    mean = answers.mean(1)
    expected = sum(F.kl_div(mean.log(), answers[:, view], reduction="batchmean") for view in range(3)) / 3
    assert divergence(logits).item() == pytest.approx(expected.item())


def test_equal_answers_do_not_diverge_and_opposite_ones_do_so_by_the_logarithm_of_two():
    same = torch.tensor([[[1.0, -1.0], [1.0, -1.0]]])
    opposite = torch.tensor([[[50.0, -50.0], [-50.0, 50.0]]])
    assert divergence(same).item() == pytest.approx(0, abs=1e-7)
    assert divergence(opposite).item() == pytest.approx(math.log(2))


def test_consistency_adds_the_weighed_divergence_to_the_loss_of_the_image_itself():
    inputs, targets = examples()
    views = torch.stack([inputs, inputs + 0.1, inputs - 0.2], dim=1)
    net = network()
    with autocast():
        logits = network()(views.flatten(0, 1)).float().unflatten(0, (12, 3))
    expected = F.cross_entropy(logits[:, 0], targets) + 12 * divergence(logits)
    loss = Learner(net, RECIPE, CONSISTENT, 10).step(views, targets)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-3)


@pytest.mark.parametrize("change", [{"augmix": False}, {"mixup": 0.2}, {"cutmix": 1.0}])
def test_consistency_without_augmix_or_with_mixed_labels_is_refused(change):
    block = CONSISTENT.model_dump() | {"augment": AUGMIX.model_dump() | change}
    with pytest.raises(Refusal, match=r"consistency needs augment\.augmix without mixup and cutmix"):
        parse({"full": block}, "full", ImagePhase)
