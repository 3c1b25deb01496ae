import numpy as np
import pytest
import torch
from torch import nn

from stages.common.checkpoints import Checkpoints
from stages.common.examples import Examples, halves
from stages.common.training import Batches, Recipe, fit, judge, over_images, over_views

RECIPE = Recipe(epochs=8, lr=0.5, weight_decay=0.0, label_smoothing=0.0)


def two_clouds(count=200):
    """Two well separated clouds of points in the plane, as features of one view."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    points = rng.normal(size=(count, 2)) + 6 * labels[:, None]
    return Examples(points.astype(np.float32), labels)


def as_views(examples):
    return examples._replace(inputs=examples.inputs[None].astype(np.float16))


@pytest.fixture
def fresh(tmp_path):
    """Makes the checkpoints as another process would."""
    return lambda: Checkpoints(tmp_path, "fc", [RECIPE], [])


@pytest.fixture
def checkpoints(fresh):
    return fresh()


@pytest.fixture
def train(fresh):
    """A training from nothing."""

    def run(seed=0):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Dropout(0.1), nn.Linear(2, 2))
        checkpoints = fresh()
        curve = fit(network, over_views(as_views(two_clouds()), 20), two_clouds(), RECIPE, seed, "head", checkpoints)
        checkpoints.remove()
        return network, curve

    return run


class Killed(Exception):
    pass


def killed_after(checkpoints, epochs):
    """The same checkpoints, of a process that dies once it has saved so many."""
    save = checkpoints.save

    def save_and_die(phase, state):
        save(phase, state)
        if len(state["curve"]) == epochs:
            raise Killed

    checkpoints.save = save_and_die
    return checkpoints


def test_fit_separates_what_can_be_separated(train):
    network, curve = train()
    assert judge(network, two_clouds())[1] == 1.0
    assert [row["epoch"] for row in curve] == list(range(1, 9))
    assert curve[-1]["train_loss"] < curve[0]["train_loss"]


def test_the_same_seed_gives_the_same_bytes(train):
    first, second, other = (train(seed)[0][1].weight for seed in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("epochs", [1, 5, 8])
def test_a_training_that_was_killed_ends_as_if_it_had_not_been(train, fresh, epochs):
    undisturbed, whole_curve = train()
    torch.manual_seed(0)
    network = nn.Sequential(nn.Dropout(0.1), nn.Linear(2, 2))
    batches = over_views(as_views(two_clouds()), 20)
    with pytest.raises(Killed):
        fit(network, batches, two_clouds(), RECIPE, 0, "head", killed_after(fresh(), epochs))

    torch.manual_seed(99)
    network = nn.Sequential(nn.Dropout(0.1), nn.Linear(2, 2))
    curve = fit(network, batches, two_clouds(), RECIPE, 0, "head", fresh())
    assert torch.equal(network[1].weight, undisturbed[1].weight)
    assert [row | {"seconds": 0} for row in curve] == [row | {"seconds": 0} for row in whole_curve]


def test_the_best_epoch_by_validation_is_kept(checkpoints):
    torch.manual_seed(0)
    network = nn.Linear(2, 2)
    upside_down = two_clouds()._replace(labels=1 - two_clouds().labels)
    curve = fit(network, over_views(as_views(two_clouds()), 20), upside_down, RECIPE, 0, "head", checkpoints)
    best = max(row["val_accuracy"] for row in curve)
    assert best > curve[-1]["val_accuracy"]
    assert judge(network, upside_down)[1] == best


def test_the_learning_rate_rises_and_then_falls(train):
    rates = [row["lr"] for row in train()[1]]
    peak = int(np.argmax(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert 0 < peak < len(rates) - 1


def test_weight_decay_spares_biases_and_batch_norm(checkpoints):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    nothing_to_learn = Examples(np.zeros((1, 20, 2), np.float16), np.zeros(20, np.int64))
    recipe = RECIPE.model_copy(update={"weight_decay": 0.1})
    fit(
        network,
        over_views(nothing_to_learn, 20),
        Examples(np.zeros((2, 2), np.float32), np.zeros(2, int)),
        recipe,
        0,
        "head",
        checkpoints,
    )
    after = dict(network.named_parameters())
    assert after["0.weight"].norm() < before["0.weight"].norm()
    torch.testing.assert_close(after["1.weight"].detach(), before["1.weight"], rtol=0, atol=1e-3)


def test_an_epoch_holds_every_example_once_and_drops_a_short_last_batch():
    seen = []
    batches = Batches(lambda index, _: index, np.arange(10), batch_size=4)
    for inputs, labels in batches.epoch(torch.Generator().manual_seed(0)):
        assert torch.equal(inputs, labels)
        seen += inputs.tolist()
    assert len(batches) == 2
    assert len(seen) == len(set(seen)) == 8


def test_a_batch_size_above_the_number_of_examples_makes_one_batch():
    assert len(Batches(lambda index, _: index, np.arange(10), batch_size=64)) == 1


def test_over_views_mixes_the_views_of_the_right_example():
    features = np.stack([np.arange(50), np.arange(50) + 100]).astype(np.float16)[..., None]
    examples = Examples(features, np.arange(50))
    ((inputs, labels),) = over_views(examples, 50).epoch(torch.Generator().manual_seed(0))
    assert torch.equal(inputs[:, 0] % 100, labels.float())
    assert {0, 100} == set((inputs[:, 0] - labels).tolist())


def test_over_images_yields_augmented_uint8_images(images):
    ((inputs, labels),) = over_images(Examples(images, np.arange(40)), 40).epoch(torch.Generator().manual_seed(0))
    assert inputs.shape == (40, 32, 32, 3)
    assert inputs.dtype == torch.uint8
    assert not np.array_equal(inputs.numpy(), images[labels])


def test_the_halves_of_val_are_disjoint_and_whole():
    selection, calibration = halves(Examples(np.arange(11), np.arange(11)))
    assert sorted([*selection.labels, *calibration.labels]) == list(range(11))
    assert abs(len(selection.labels) - len(calibration.labels)) <= 1


@pytest.mark.parametrize("field", ["epochs", "lr"])
def test_a_recipe_of_nothing_is_refused(field):
    with pytest.raises(ValueError, match=field):
        Recipe(**(RECIPE.model_dump() | {field: 0}))
