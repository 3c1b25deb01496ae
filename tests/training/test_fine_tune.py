from copy import deepcopy

import pytest
import torch
from safetensors.torch import load_file

from study.data.splits import load_facts, load_split, save_facts
from study.features.augment import BatchAugment
from study.networks.classifier import Head, backbone_path
from study.networks.loading import load_model
from study.networks.stages import backbone_state
from study.pipeline.files import read_json, read_table
from study.pipeline.params import Refusal, parse
from study.training import fine_tune as module
from study.training.checkpoints import Checkpoints
from study.training.fine_tune import Common, FineTuning, common_settings, fine_tune, train_variant
from study.training.recipe import Phase, Recipe, resolutions

STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")


class Killed(Exception):
    pass


def growing(project):
    """Let the images of `full` grow from 32 to 64 pixels in its two epochs."""
    project.params["train"]["common"]["image_size"] = 64
    project.params["train"]["full"]["first_image_size"] = 32


def train(project, variant, **options):
    """Train as the stage of this variant does; return the curve."""
    phase = parse(project.params, f"train.{variant}", FineTuning)
    fine_tune(variant, common_settings(project.params), phase, project.root, **options)
    return read_table(project.root / f"results/training/{variant}/curve.csv")


def changed(project, variant):
    """The stages that came out other than they went in."""
    before = load_file(backbone_path(project.root))
    model = load_model(project.root, variant, mirror=False)
    return {
        stage
        for stage, part in model.backbone.named_children()
        if any(not torch.equal(tensor, before[name.partition(".")[2]]) for name, tensor in _named(stage, part))
    }


def _named(stage, part):
    return [(f"{stage}.{name}", tensor) for name, tensor in part.state_dict().items()]


@pytest.mark.parametrize("first", ["fc", *STAGES])
def test_what_comes_before_the_first_part_that_learns_comes_out_as_it_went_in(project, first):
    project.params["train"]["layer4"]["unfreeze_from"] = first
    train(project, "layer4")
    learned = set() if first == "fc" else set(STAGES[STAGES.index(first) :])
    assert changed(project, "layer4") == learned


def test_the_three_variants_of_the_study_learn_from_head_last_block_and_stem_on(project):
    for variant in ("fc", "layer4", "full"):
        train(project, variant)
    found = [changed(project, variant) for variant in ("fc", "layer4", "full")]
    assert found == [set(), {"layer4"}, set(STAGES)]


def test_batch_norms_alone_move_where_only_they_learn(project):
    project.params["train"]["full"]["learns"] = "batch_norm"
    train(project, "full")
    before, model = load_file(backbone_path(project.root)), load_model(project.root, "full", mirror=False)
    moved = {name for name, tensor in backbone_state(model.backbone).items() if not torch.equal(tensor, before[name])}
    norms = {name.rpartition(".")[0] for name in before if name.endswith("running_mean")}
    assert moved and {name.rpartition(".")[0] for name in moved} <= norms


@pytest.mark.parametrize(
    ("variant", "phases", "features"),
    [
        ("fc", ["fc"] * 3, True),
        ("layer4", ["head"] * 3 + ["layer4"] * 2, True),
        ("full", ["head"] * 3 + ["full"] * 2, True),
        ("random", ["random"] * 2, False),
    ],
)
def test_a_training_leaves_its_curve_and_no_checkpoint(project, variant, phases, features):
    project.params["train"]["random"] = project.params["train"]["full"] | {"start": "random"}
    curve = train(project, variant)
    assert curve["phase"].tolist() == phases
    cost = read_json(project.root / f"results/training/{variant}/cost.json")
    assert (len(cost["epoch_seconds"]), cost["cached_features"]) == (len(phases), features)
    assert list((project.root / ".cache/checkpoints").iterdir()) == []


def test_a_random_start_needs_no_cached_features(project):
    project.params["train"]["full"]["start"] = "random"
    for path in (project.root / "data/features").iterdir():
        path.write_bytes(b"")
    train(project, "full")


def test_the_head_alone_may_learn_from_images_too(project, looks):
    project.params["train"]["fc"] |= {"augment": project.params["train"]["full"]["augment"], "epochs": 1}
    train(project, "fc")
    assert looks == [*[(True, 32)] * 3, (False, 32)]
    assert changed(project, "fc") == set()


@pytest.mark.parametrize("first", STAGES)
def test_cached_views_are_for_the_head_alone(project, first):
    project.params["train"]["fc"]["unfreeze_from"] = first
    with pytest.raises(Refusal, match=f"train.fc = .*: augment must be set where unfreeze_from is {first}: "):
        parse(project.params, "train.fc", FineTuning)


@pytest.mark.parametrize(("mirrors", "flips"), [(True, True), (False, False)])
def test_images_are_mirrored_only_where_a_mirror_image_is_an_image_too(project, monkeypatch, mirrors, flips):
    save_facts(load_facts(project.root)._replace(mirrors=mirrors), project.root / "data/subset")
    seen = []

    def noted(train, batch_size, augment, consistency):
        seen.append(augment.flip)
        return over_images(train, batch_size, augment, consistency)

    over_images = module.over_images
    monkeypatch.setattr(module, "over_images", noted)
    train(project, "layer4")
    assert seen == [flips]


def test_a_variant_of_another_name_trains_by_its_own_block(project):
    project.params["train"]["layer3"] = project.params["train"]["layer4"] | {"unfreeze_from": "layer3"}
    train_variant(project.params, project.root, "layer3")
    assert changed(project, "layer3") == {"layer3", "layer4"}


@pytest.mark.parametrize("depth", ["layer4", "full"])
def test_the_deeper_ones_begin_with_the_head_that_fc_would_train_by_the_probe_s_settings(project, depth):
    project.params["train"]["fc"] |= deepcopy(project.params["train"]["common"]["probe"])
    alone = train(project, "fc")
    begun = train(project, depth)
    probe = begun[begun["phase"] == "head"].drop(columns="phase")
    assert probe.to_dict("records") == alone.drop(columns="phase").to_dict("records")


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
    # The probe's are no images. An epoch of 36 is three batches of 12; the images that judge are one.
    assert looks == [*[(True, 32)] * 3, (False, 64), *[(True, 64)] * 3, (False, 64)]
    assert load_model(project.root, "full", mirror=False).image_size == 64


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
        parse(project.params, "train.full", FineTuning)


def test_what_is_given_judges_every_epoch_of_every_phase(project):
    accuracies = iter([0.5, 0.25, 0.75, 0.5, 0.25])
    curve = train(project, "layer4", judge=lambda network, examples: (1.0, next(accuracies)))
    assert curve["val_accuracy"].tolist() == [0.5, 0.25, 0.75, 0.5, 0.25]


def test_the_images_that_select_judge(project):
    seen = []

    def judge(network, examples):
        seen.append(examples.labels.tolist())
        return 1.0, 0.5

    train(project, "fc", judge=judge)
    assert seen == [load_split(project.root, "selection").labels.tolist()] * 3


def test_settings_are_those_that_the_depths_share(project):
    settings = common_settings(project.params)
    assert settings.head == Head(hidden=[], dropout=0.1)
    assert (settings.image_size, settings.batch_size, settings.seed) == (32, 12, 0)
    assert settings.recipe == Recipe(**project.params["train"]["common"]["recipe"])


def test_settings_that_are_missing_are_named(project):
    del project.params["train"]["common"]["recipe"]["ema"]
    with pytest.raises(Refusal, match=r"train\.common\.recipe\.ema is missing"):
        common_settings(project.params)


@pytest.mark.parametrize(
    ("key", "value"),
    [("unfreeze_from", "head"), ("start", "fc"), ("learns", "none"), ("layer_decay", 0.0), ("layer_decay", 1.1)],
)
def test_a_fine_tuning_that_cannot_be_is_refused_by_its_key(project, key, value):
    project.params["train"]["full"][key] = value
    with pytest.raises(Refusal, match=rf"train\.full\.{key} = "):
        parse(project.params, "train.full", FineTuning)


@pytest.mark.parametrize("processes", [0, 1025, 1.5, True])
def test_a_number_of_processes_that_cannot_be_is_refused(project, processes):
    project.params["train"]["full"]["processes"] = processes
    with pytest.raises(Refusal, match=r"train\.full\.processes"):
        parse(project.params, "train.full", FineTuning)


def test_the_common_block_of_params_is_known_as_a_whole(project):
    common = parse(project.params, "train.common", Common)
    assert common.probe == Phase(**project.params["train"]["common"]["probe"])
    assert isinstance(parse(project.params, "train.full.augment", BatchAugment), BatchAugment)
