import numpy as np
import pytest
import torch
from torch import nn

from study.data.splits import Examples
from study.features.augment import BatchAugment, crop_flip
from study.training import loop as training
from study.training.checkpoints import Checkpoints
from study.training.loop import Batches, Training, fit, loss_and_accuracy, over_images, over_views
from tests.training.test_recipe import PHASE, RECIPE, settings

SLOW = {"epochs": 8, "lr": 1e-9}  # the accuracy of the first epoch is that of all
CROP_FLIP = BatchAugment(crop=True, flip=True, randaugment=False, cutout=False, augmix=False, mixup=0.0, cutmix=0.0)
KNOBS = {"optimizer": "adamw", "schedule": "cosine", "ema": 0.9, "clip": 1.0, "patience": 7, "label_smoothing": 0.1}


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


def learn(network, checkpoints, seed=0, selection=None, **knobs):
    """The curve of eight epochs of `network` on the two clouds."""
    batches, judged = over_views(as_views(two_clouds()), 20), selection or two_clouds()
    recipe, phase = settings(**{"epochs": 8, "lr": 0.5} | knobs)
    return fit(network, batches, judged, phase, "head", Training(recipe, seed, checkpoints))


def seeded_network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Dropout(0.1), nn.Linear(2, 2))


@pytest.fixture
def train(fresh):
    """A training from nothing."""

    def run(seed=0, **knobs):
        network, checkpoints = seeded_network(seed), fresh()
        curve = learn(network, checkpoints, seed, **knobs)
        checkpoints.remove()
        return network, curve

    return run


class Killed(Exception):
    pass


class Pixels(nn.Module):
    """Images, uint8 (N, H, W, 3), as float32 (N, 3, H, W) in [0, 1]."""

    def forward(self, images):
        return images.permute(0, 3, 1, 2) / 255


def without_seconds(curve):
    return [row | {"seconds": 0} for row in curve]


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
    assert loss_and_accuracy(network, two_clouds())[1] == 1.0
    assert [row["epoch"] for row in curve] == list(range(1, 9))
    assert curve[-1]["train_loss"] < curve[0]["train_loss"]


def test_the_same_seed_gives_the_same_bytes(train):
    first, second, other = (train(seed)[0][1].weight for seed in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("knobs", [{}, KNOBS])
@pytest.mark.parametrize("epochs", [1, 5, 8])
def test_a_training_that_was_killed_ends_as_if_it_had_not_been(train, fresh, epochs, knobs):
    undisturbed, whole_curve = train(**knobs)
    with pytest.raises(Killed):
        learn(seeded_network(0), killed_after(fresh(), epochs), **knobs)

    network = seeded_network(99)
    curve = learn(network, fresh(), **knobs)
    assert torch.equal(network[1].weight, undisturbed[1].weight)
    assert without_seconds(curve) == without_seconds(whole_curve)


def test_a_training_over_augmented_and_mixed_images_that_was_killed_ends_as_if_it_had_not_been(fresh, images):
    examples = Examples(images, np.arange(40) % 3)
    augment = BatchAugment(crop=True, flip=True, randaugment=True, cutout=True, augmix=True, mixup=0.2, cutmix=1.0)
    recipe, phase = settings(**KNOBS | {"epochs": 4, "lr": 0.01})

    def run(seed, checkpoints):
        torch.manual_seed(seed)
        network = nn.Sequential(Pixels(), nn.BatchNorm2d(3), nn.Flatten(), nn.Dropout(0.2), nn.Linear(3 * 32 * 32, 3))
        batches = over_images(examples, 10, augment)
        return fit(network, batches, examples, phase, "full", Training(recipe, 0, checkpoints)), network

    whole, undisturbed = run(0, checkpoints := fresh())
    checkpoints.remove()
    with pytest.raises(Killed):
        run(0, killed_after(fresh(), 2))
    curve, network = run(99, fresh())
    assert without_seconds(curve) == without_seconds(whole)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, undisturbed.state_dict()[name]), name


def test_a_moving_average_changes_what_is_judged_and_kept_and_nothing_else(train):
    network, curve = train()
    averaged, averaged_curve = train(ema=0.95)
    assert [row["train_loss"] for row in averaged_curve] == [row["train_loss"] for row in curve]
    assert [row["val_loss"] for row in averaged_curve] != [row["val_loss"] for row in curve]
    assert not torch.equal(averaged[1].weight, network[1].weight)
    best = max(averaged_curve, key=lambda row: (row["val_accuracy"], row["epoch"]))
    assert loss_and_accuracy(averaged, two_clouds()) == (best["val_loss"], best["val_accuracy"])


def test_patience_ends_a_training_that_gets_no_better(train):
    assert len(train(**SLOW)[1]) == 8
    assert len(train(**SLOW, patience=3)[1]) == 1 + 3
    assert len(train(**SLOW, patience=8)[1]) == 8


def test_patience_leaves_the_schedule_and_the_epochs_before_it_as_they_are(train):
    whole, stopped = train(**SLOW)[1], train(**SLOW, patience=3)[1]
    assert without_seconds(stopped) == without_seconds(whole[:4])


def test_a_phase_that_ran_out_of_patience_is_not_carried_on(fresh):
    first = learn(seeded_network(0), fresh(), **SLOW, patience=2)
    assert len(first) == 1 + 2
    assert learn(seeded_network(1), fresh(), **SLOW, patience=2) == first


def test_the_best_epoch_by_validation_is_kept(fresh):
    network = seeded_network(0)
    upside_down = two_clouds()._replace(labels=1 - two_clouds().labels)
    curve = learn(network, fresh(), selection=upside_down)
    best = max(row["val_accuracy"] for row in curve)
    assert best > curve[-1]["val_accuracy"]
    assert loss_and_accuracy(network, upside_down)[1] == best


def test_the_later_of_equally_good_epochs_is_kept_by_whatever_judges(fresh):
    accuracies, states = iter([0.25, 0.75, 0.75, 0.5]), []

    def judge(network, examples):
        states.append(network[1].weight.detach().clone())
        return 1.0, next(accuracies)

    network = seeded_network(0)
    batches, selection = over_views(as_views(two_clouds()), 20), two_clouds()
    recipe, phase = settings(epochs=4)
    curve = fit(network, batches, selection, phase, "head", Training(recipe, 0, fresh(), judge))
    assert [row["val_accuracy"] for row in curve] == [0.25, 0.75, 0.75, 0.5]
    assert torch.equal(network[1].weight, states[2])
    assert not torch.equal(states[1], states[2])


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_each_epoch_trains_at_its_size_and_is_judged_at_the_network_s_own(model, images, fresh, ema):
    looks = []
    model.register_forward_hook(lambda network, *_: looks.append((network.training, network.image_size)))
    examples = Examples(images, np.arange(40) % 3)
    batches, (recipe, phase) = over_images(examples, 20, CROP_FLIP), settings(epochs=3, ema=ema)
    fit(model, batches, examples, phase, "full", Training(recipe, 0, fresh()), image_sizes=[64, 33, 32])
    assert looks == [look for size in (64, 33, 32) for look in (*[(True, size)] * 2, (False, 32))]
    assert model.image_size == 32


def test_an_epoch_that_breaks_off_leaves_the_network_at_its_own_size(model, images, fresh):
    def interrupted(index, generator):
        raise KeyboardInterrupt

    batches, examples = Batches(interrupted, 40, 20), Examples(images, np.arange(40) % 3)
    with pytest.raises(KeyboardInterrupt):
        fit(model, batches, examples, PHASE, "full", Training(RECIPE, 0, fresh()), image_sizes=[64])
    assert model.image_size == 32


def test_each_phase_has_checkpoints_of_its_own_name(fresh):
    checkpoints = fresh()
    batches = over_views(as_views(two_clouds()), 20)
    fit(seeded_network(0), batches, two_clouds(), PHASE, "head", Training(RECIPE, 0, checkpoints))
    assert fresh().load("head") and fresh().load("full") is None


def test_loss_and_accuracy_are_cross_entropy_in_nats_and_the_share_of_hits():
    table = np.log(np.array([[0.8, 0.2], [0.4, 0.6]], np.float32))  # the logits themselves are the inputs
    loss, accuracy = loss_and_accuracy(nn.Identity(), Examples(table, np.array([0, 0])))
    assert loss == pytest.approx(-(np.log(0.8) + np.log(0.4)) / 2)
    assert accuracy == 0.5


def test_the_learning_rate_rises_and_then_falls(train):
    rates = [row["lr"] for row in train()[1]]
    peak = int(np.argmax(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert 0 < peak < len(rates) - 1


def test_an_epoch_holds_every_example_once_and_drops_a_short_last_batch():
    seen = []
    batches = Batches(lambda index, _: (index, -index), 10, batch_size=4)
    for inputs, targets in batches.epoch(torch.Generator().manual_seed(0)):
        assert torch.equal(inputs, -targets)
        seen += inputs.tolist()
    assert len(batches) == 2
    assert len(seen) == len(set(seen)) == 8


def test_a_batch_size_above_the_number_of_examples_makes_one_batch():
    assert len(Batches(lambda index, _: (index, index), 10, batch_size=64)) == 1


def test_over_views_mixes_the_views_of_the_right_example():
    features = np.stack([np.arange(50), np.arange(50) + 100]).astype(np.float16)[..., None]
    examples = Examples(features, np.arange(50))
    ((inputs, labels),) = over_views(examples, 50).epoch(torch.Generator().manual_seed(0))
    assert torch.equal(inputs[:, 0] % 100, labels.float())
    assert {0, 100} == set((inputs[:, 0] - labels).tolist())


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU they are copied there, where they fit")
def test_cached_views_are_read_from_their_file_when_a_batch_needs_them(tmp_path):
    file = np.lib.format.open_memmap(tmp_path / "views.npy", "w+", np.float16, (1, 50, 3))
    cached = np.load(tmp_path / "views.npy", mmap_mode="c")
    epoch = over_views(Examples(cached, np.arange(50)), 25).epoch(torch.Generator().manual_seed(0))
    assert next(epoch)[0].sum() == 0
    file[:] = 1
    assert next(epoch)[0].sum() == 25 * 3


@pytest.mark.parametrize(("free", "where"), [(1600, "meta"), (1599, "cpu")])
def test_examples_go_to_the_gpu_where_they_fill_half_of_it_at_most(monkeypatch, free, where):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free, 10**6))
    monkeypatch.setattr(training, "device", lambda: torch.device("meta"))
    assert training._at_hand(np.zeros(100)).device.type == where


def test_over_images_crops_and_flips_by_the_draws_that_follow_the_shuffle(images):
    ((inputs, labels),) = over_images(Examples(images, np.arange(40)), 40, CROP_FLIP).epoch(
        torch.Generator().manual_seed(0)
    )
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(40, generator=generator)
    assert torch.equal(labels, order)
    assert torch.equal(inputs, crop_flip(torch.from_numpy(images)[order], generator))


def test_over_images_gives_mixed_images_shares_of_every_class(images):
    mixup = CROP_FLIP.model_copy(update={"mixup": 1.0})
    examples = Examples(images, np.arange(40) % 4)
    for inputs, shares in over_images(examples, 10, mixup).epoch(torch.Generator().manual_seed(0)):
        assert (inputs.dtype, inputs.shape) == (torch.uint8, (10, 32, 32, 3))
        assert shares.shape == (10, 4)
        torch.testing.assert_close(shares.sum(1), torch.ones(10))
