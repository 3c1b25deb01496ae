from copy import deepcopy

import pytest
import torch
from safetensors.torch import load_file

from study.features.augment import BatchAugment
from study.networks.classifier import Head
from study.networks.loading import load_classifier
from study.pipeline.files import read_json, read_table
from study.pipeline.params import Refusal, parse
from study.training.checkpoints import Checkpoints
from study.training.fine_tune import Common, common_settings, fine_tune, resolutions
from study.training.recipe import ImagePhase, Phase, Recipe

PARTS = {"fc": {"head"}, "layer4": {"tail", "head"}, "full": {"trunk", "tail", "head"}}


class Killed(Exception):
    pass


def growing(project):
    """Let the images of `full` grow from 32 to 64 pixels in its two epochs."""
    project.params["train"]["common"]["image_size"] = 64
    project.params["train"]["full"]["first_image_size"] = 32


def train(project, depth, **options):
    """Train as the stage of this depth does; return the curve."""
    params = project.params
    probe = None if depth == "fc" else parse(params, "train.common.probe", Phase)
    phase = parse(params, f"train.{depth}", ImagePhase if depth == "full" else Phase)
    fine_tune(depth, common_settings(params), probe, phase, project.root, **options)
    return read_table(project.root / f"results/training/{depth}/curve.csv")


@pytest.mark.parametrize("depth", PARTS)
def test_what_a_depth_freezes_comes_out_as_it_went_in_and_the_rest_has_learned(project, depth):
    train(project, depth)
    before = load_file(project.root / "data/backbone/weights.safetensors")
    model = load_classifier(project.root / f"models/{depth}.safetensors", mirror=False)
    changed = {"head"}  # new in any case
    for part in ("trunk", "tail"):
        state = model.get_submodule(part).state_dict()
        if not all(torch.equal(tensor, before[name]) for name, tensor in state.items()):
            changed.add(part)
    assert changed == PARTS[depth]


@pytest.mark.parametrize(
    ("depth", "phases"),
    [("fc", ["head"] * 3), ("layer4", ["head"] * 3 + ["layer4"] * 2), ("full", ["head"] * 3 + ["full"] * 2)],
)
def test_a_training_leaves_its_curve_and_no_checkpoint(project, depth, phases):
    curve = train(project, depth)
    assert curve["phase"].tolist() == phases
    cost = read_json(project.root / f"results/training/{depth}/cost.json")
    assert len(cost["epoch_seconds"]) == len(phases)
    assert list((project.root / ".cache/checkpoints").iterdir()) == []


@pytest.mark.parametrize("depth", ["layer4", "full"])
def test_the_deeper_ones_begin_with_the_head_that_fc_would_train_by_the_probe_s_settings(project, depth):
    project.params["train"]["fc"] = deepcopy(project.params["train"]["common"]["probe"])
    alone = train(project, "fc")
    begun = train(project, depth)
    assert begun[begun["phase"] == "head"].to_dict("records") == alone.to_dict("records")


def test_the_same_settings_give_the_same_bytes(project):
    def files():
        train(project, "layer4")
        names = ("models/layer4.safetensors", "results/training/layer4/curve.csv")
        return [(project.root / name).read_bytes() for name in names]

    once = files()
    torch.manual_seed(99)
    assert files() == once


@pytest.mark.parametrize("depth", ["layer4", "full"])
@pytest.mark.parametrize("saved", [2, 4])  # in the midst of the probe, and of what follows it
def test_a_killed_training_is_carried_on_to_the_same_bytes(project, monkeypatch, depth, saved):
    growing(project)
    whole = train(project, depth)
    model = project.root / f"models/{depth}.safetensors"
    content = model.read_bytes()
    save, times = Checkpoints.save, []

    def save_and_die(checkpoints, phase, state):
        save(checkpoints, phase, state)
        times.append(phase)
        if len(times) == saved:
            raise Killed

    with monkeypatch.context() as mortal, pytest.raises(Killed):
        mortal.setattr(Checkpoints, "save", save_and_die)
        train(project, depth)
    model.unlink()
    assert train(project, depth).equals(whole)
    assert model.read_bytes() == content


def test_full_trains_at_growing_sizes_and_is_judged_and_left_at_its_own(project, looks):
    growing(project)
    train(project, "full")
    # The probe's are no images. An epoch of 36 is three batches of 12; the half of val that judges is one.
    assert looks == [*[(True, 32)] * 3, (False, 64), *[(True, 64)] * 3, (False, 64)]
    assert load_classifier(project.root / "models/full.safetensors", mirror=False).image_size == 64


def test_without_a_first_size_every_epoch_of_full_has_its_own(project, looks):
    train(project, "full")
    assert looks == 2 * [*[(True, 32)] * 3, (False, 32)]


@pytest.mark.parametrize(
    ("first", "last", "sizes"),
    [
        (None, 96, [96, 96, 96, 96]),
        (96, 96, [96, 96, 96, 96]),
        (32, 128, [32, 64, 96, 128]),  # on the line
        (64, 128, [64, 96, 96, 128]),  # 64, 85.3, 106.7, 128 on it
        (64, 100, [64, 64, 96, 100]),  # 64, 76, 88, 100
        (64, 96, [96]),  # the only epoch is the last
        (64, 96, [64, 96]),
    ],
)
def test_resolutions_follow_the_line_from_the_first_to_the_last_in_steps_of_32(first, last, sizes):
    assert resolutions(first, last, len(sizes)) == sizes


@pytest.mark.parametrize(("first", "last"), [(32, 33), (40, 50), (48, 48), (64, 224), (80, 90), (511, 512)])
@pytest.mark.parametrize("epochs", [1, 2, 3, 10, 100])
def test_resolutions_never_fall_and_never_exceed_the_last(first, last, epochs):
    sizes = resolutions(first, last, epochs)
    assert sizes == sorted(sizes) and sizes[0] >= 32
    assert (len(sizes), sizes[-1]) == (epochs, last)


@pytest.mark.parametrize("size", [31, 513, 64.5, True, "64"])
def test_a_first_size_that_cannot_be_is_refused(project, size):
    project.params["train"]["full"]["first_image_size"] = size
    with pytest.raises(Refusal, match=r"train\.full\.first_image_size"):
        parse(project.params, "train.full", ImagePhase)


def test_what_is_given_judges_every_epoch_of_every_phase(project):
    accuracies = iter([0.5, 0.25, 0.75, 0.5, 0.25])
    curve = train(project, "layer4", judge=lambda network, examples: (1.0, next(accuracies)))
    assert curve["val_accuracy"].tolist() == [0.5, 0.25, 0.75, 0.5, 0.25]


def test_one_half_of_val_judges(project):
    seen = []

    def judge(network, examples):
        seen.append(examples.labels.tolist())
        return 1.0, 0.5

    train(project, "fc", judge=judge)
    assert seen == [[0, 2, 1] * 4] * 3  # labels 0, 1, 2, 0, 1, 2 and so on, every other one


def test_settings_are_those_that_the_depths_share(project):
    settings = common_settings(project.params)
    assert settings.head == Head(hidden=[], dropout=0.1)
    assert (settings.image_size, settings.batch_size, settings.seed) == (32, 12, 0)
    assert settings.recipe == Recipe(**project.params["train"]["common"]["recipe"])


def test_settings_that_are_missing_are_named(project):
    del project.params["train"]["common"]["recipe"]["ema"]
    with pytest.raises(Refusal, match=r"train\.common\.recipe\.ema is missing"):
        common_settings(project.params)


@pytest.mark.parametrize("kind", ["fc", "layer4"])
def test_a_phase_over_features_has_neither_augmentation_nor_processes(project, kind):
    project.params["train"][kind]["processes"] = 1
    with pytest.raises(Refusal, match=rf"train\.{kind}\.processes is not a known parameter"):
        train(project, kind)


@pytest.mark.parametrize("processes", [0, 1025, 1.5, True])
def test_a_number_of_processes_that_cannot_be_is_refused(project, processes):
    project.params["train"]["full"]["processes"] = processes
    with pytest.raises(Refusal, match=r"train\.full\.processes"):
        parse(project.params, "train.full", ImagePhase)


def test_the_common_block_of_params_is_known_as_a_whole(project):
    common = parse(project.params, "train.common", Common)
    assert common.probe == Phase(**project.params["train"]["common"]["probe"])
    assert isinstance(parse(project.params, "train.full.augment", BatchAugment), BatchAugment)
