import ast
import copy
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import nullcontext
from importlib import import_module
from typing import get_type_hints

import pytest

from stages.adapt import run as adapt
from stages.check_params import Params, run
from stages.label_errors import run as label_errors
from stages.preview import run as preview
from study.pipeline.params import Refusal, read_params
from study.training.fine_tune import Common, FineTuning
from study.training.from_scratch import FromScratch
from tests.test_dvc_yaml import ROOT

PARAMS = read_params(ROOT / "params.yaml")


@pytest.fixture(autouse=True)
def _dvc_yaml(tmp_path):
    shutil.copy(ROOT / "dvc.yaml", tmp_path)


def refused(params, folder):
    """The line that refuses these parameters, before anything was written below the folder."""
    with pytest.raises(Refusal) as refusal:
        run(params, folder)
    line = str(refusal.value)
    assert "\n" not in line
    assert not (folder / "data").exists()
    return line


def changed(key, value):
    params = copy.deepcopy(PARAMS)
    block = params
    *parents, leaf = key.split(".")
    for part in parents:
        block = block[part]
    block[leaf] = value
    return params


def test_the_committed_parameters_are_valid(tmp_path):
    run(PARAMS, tmp_path)
    assert (tmp_path / "data/params.ok").read_text() == "params.yaml is valid\n"


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("freeze", "layer5", "freeze = 'layer5': choose one of fc, layer4, full, scratch"),
        ("freez", "fc", "freez is not a known parameter"),
        ("data.dataset", "svhn", "data.dataset = 'svhn': input should be 'cifar10', 'cifar100', 'digits' or 'folder'"),
        ("data.train", 0, "data.train = 0: input should be greater than or equal to 2"),
        ("data.test", 9, "data.test = 9: cifar10 has 10 classes, and each needs an image"),
        ("data.path", "", "data.path = '': string should have at least 1 character"),
        ("data.side", 8, "data.side = 8: input should be greater than or equal to 16"),
        ("data.train", 50000, "data.train + data.val = 55000: cifar10 has 50000 training images"),
        ("data.train", "45000", "data.train = '45000': input should be a valid integer"),
        ("data.test", 20000, "data.test = 20000: cifar10 has 10000 test images"),
        ("backbone.name", "vgg16", "backbone.name = 'vgg16': choose resnet18, resnet34, resnet50"),
        ("backbone.name", "timm/", "mobilenet_v3_small, efficientnet_lite0 or timm/NAME"),
        ("backbone.name", "timm/a name", "backbone.name = 'timm/a name': choose resnet18"),
        ("backbone.name", "timm/resnet27", "timm has no such network"),
        ("backbone.name", "timm/resnet27", "timm has no such network"),
        ("backbone.weights", "clip", "input should be 'imagenet', 'torchvision', 'tinyimagenet', 'file' or 'none'"),
        ("backbone.head.dropout", 1.0, "backbone.head.dropout = 1.0: input should be less than 1"),
        ("backbone.head.hidden", [8] * 100_000, "list should have at most 16 items"),
        ("backbone.head.hidden", [0], "backbone.head.hidden.0 = 0: input should be greater than or equal to 1"),
        ("train.common.image_size", 16, "train.common.image_size = 16: input should be greater than or equal to 32"),
        ("train.common.momentum", 0.9, "train.common.momentum is not a known parameter"),
        ("train.fc.lr", -0.1, "train.fc.lr = -0.1: input should be greater than 0"),
        ("train.fc.lr", "fast", "train.fc.lr = 'fast': input should be a valid number"),
        ("train.common.recipe.optimizer", "lion", "recipe.optimizer = 'lion': input should be 'sgd' or 'adamw'"),
        ("train.common.recipe.schedule", "step", "recipe.schedule = 'step': input should be 'onecycle' or 'cosine'"),
        ("train.full.layer_decay", 0, "train.full.layer_decay = 0: input should be greater than 0"),
        ("train.full.unfreeze_from", "layer5", "train.full.unfreeze_from = 'layer5': input should be 'fc', 'layer4'"),
        ("train.full.start", "fc", "train.full.start = 'fc': input should be 'probe' or 'random'"),
        ("train.full.learns", "none", "train.full.learns = 'none': input should be 'all' or 'batch_norm'"),
        ("train.full.augment", None, "augment must be set where unfreeze_from is stem"),
        ("train.common.recipe.ema", 1.0, "train.common.recipe.ema = 1.0: input should be less than 1"),
        ("train.common.recipe.clip", 0, "train.common.recipe.clip = 0: input should be greater than 0"),
        ("train.common.recipe.patience", 0, "recipe.patience = 0: input should be greater than or equal to 1"),
        ("train.fc.optimizer", "sgd", "train.fc.optimizer is not a known parameter"),
        ("train.common.probe.epochs", 0, "train.common.probe.epochs = 0: input should be greater than or equal to 1"),
        ("train.common.recipe.lr", 0.1, "train.common.recipe.lr is not a known parameter"),
        ("train.fc.augment", {}, "train.fc.augment.crop is missing"),
        ("train.common.augment.mixup", 0.2, "train.common.augment.mixup is not a known parameter"),
        ("train.full.augment.cutout", 1, "train.full.augment.cutout = 1: input should be a valid boolean"),
        ("train.full.augment.mixup", -1, "train.full.augment.mixup = -1: input should be greater than or equal to 0"),
        ("train.full.processes", 0, "train.full.processes = 0: input should be greater than or equal to 1"),
        ("train.full.processes", 129, "train.full.processes = 129: there are 128 images to share"),
        ("train.scratch.processes", 129, "train.scratch.processes = 129: there are 128 images to share"),
        ("train.scratch.image_size", 31, "train.scratch.image_size = 31: input should be greater than or equal to 32"),
        ("train.layer4.processes", 0, "train.layer4.processes = 0: input should be greater than or equal to 1"),
        ("train.layer4.epochs", 2.5, "train.layer4.epochs = 2.5: input should be a valid integer"),
        ("train.full.label_smoothing", 1, "train.full.label_smoothing = 1: input should be less than 1"),
        ("calibrate.bins", 0, "calibrate.bins = 0: input should be greater than or equal to"),
        ("corrupt_eval.corruptions", ["rain"], "corrupt_eval.corruptions.0 = 'rain': input should be 'gaussian_noise'"),
        ("corrupt_eval.corruptions", [], "corrupt_eval.corruptions = []: list should have at least 1 item"),
        ("corrupt_eval.images", -1, "corrupt_eval.images = -1: input should be greater than or equal to"),
        ("gradcam.layer", "layer9", "gradcam.layer = 'layer9': input should be 'layer2', 'layer3' or 'layer4'"),
        ("gradcam.layer", "layer4", "gradcam.layer = 'layer4': its map is 3x3 of an image of 96 pixels"),
        ("data.test", 300, "corrupt_eval.images = 800: there are 300 test images"),
        ("calibrate.resamples", 0, "calibrate.resamples = 0: input should be greater than or equal to"),
        ("corrupt_eval.cifar10c_dir", 3, "corrupt_eval.cifar10c_dir = 3: input should be a valid string"),
        ("adversarial.images", 20000, "adversarial.images = 20000: there are 10000 test images"),
        ("adversarial.epsilons", [0], "adversarial.epsilons.0 = 0: input should be greater than or equal to 1"),
        ("gradcam.severity", 6, "gradcam.severity = 6: input should be less than or equal to 5"),
        ("gradcam.corruption", "rain", "gradcam.corruption = 'rain': input should be 'gaussian_noise'"),
        ("conformal.coverages", [1.0], "conformal.coverages.0 = 1.0: input should be less than 1"),
        ("conformal.error_rates", [0], "conformal.error_rates.0 = 0: input should be greater than 0"),
        ("ood.paths", ["nowhere"], "ood.paths: "),
        ("ood.neighbours", 6000, "there are 5000 images to compare with (ood.train_images)"),
        ("gradcam.images", 1, "gradcam.images = 1: input should be greater than or equal to"),
    ],
)
def test_a_bad_value_is_refused_in_one_line(tmp_path, key, value, line):
    assert line in refused(changed(key, value), tmp_path)


def test_the_official_corrupted_files_are_refused_for_another_dataset(tmp_path):
    params = changed("corrupt_eval.cifar10c_dir", "CIFAR-10-C")
    params["data"] |= {"dataset": "digits", "train": 1000, "val": 400, "test": 360}
    params["corrupt_eval"]["images"] = 360
    with pytest.raises(Refusal, match="its files are of CIFAR-10, and data"):
        run(params, tmp_path)


@pytest.mark.parametrize(("layer", "refused"), [("layer2", False), ("layer3", False), ("layer4", True)])
def test_the_layer_to_explain_is_one_of_the_published_network(tmp_path, layer, refused):
    params = changed("freeze", "scratch") | {"gradcam": PARAMS["gradcam"] | {"layer": layer}}
    with pytest.raises(Refusal, match="its map is 3x3 of an image of 32 pixels") if refused else nullcontext():
        run(params, tmp_path)


@pytest.fixture
def pictures(tmp_path):
    """Two classes of 40 empty files: check_params looks at names alone."""
    for name in ("cat", "dog"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for number in range(40):
            (tmp_path / "mine" / name / f"{number}.png").touch()
    params = copy.deepcopy(PARAMS)
    params["data"] |= {"dataset": "folder", "path": "mine", "train": 40, "val": 20, "test": 20}
    for block, key in (("corrupt_eval", "images"), ("adversarial", "images"), ("gradcam", "faithfulness_images")):
        params[block][key] = 20
    return params


def test_a_folder_of_pictures_is_listed_before_anything_runs(tmp_path, pictures):
    run(pictures, tmp_path)
    assert (tmp_path / "data/params.ok").exists()
    pictures["data"]["train"] = 100
    with pytest.raises(
        Refusal, match=r"mine has 80 pictures of 2 classes.* these numbers work: dvc exp run -S "
    ) as refusal:
        run(pictures, tmp_path)
    assert "\n" not in str(refusal.value)


def test_the_first_epochs_size_is_checked_as_it_is_used(tmp_path, pictures):
    pictures["data"]["side"] = 70
    pictures["train"]["full"]["first_image_size"] = 40  # rounded to 32, a stride of the network
    with pytest.raises(Refusal, match=r"first_image_size = 40, which trains at 32, is less than half of it"):
        run(pictures, tmp_path)
    pictures["train"]["full"]["first_image_size"] = 48  # rounded to 64
    run(pictures, tmp_path)


def test_the_light_network_follows_the_pictures_unless_it_is_told_otherwise(tmp_path, pictures):
    pictures["data"]["side"] = 96
    assert pictures["train"]["scratch"]["image_size"] is None
    run(pictures, tmp_path)


def test_copies_do_not_count_among_the_pictures_that_there_are(tmp_path, pictures):
    for name in ("cat/0", "cat/1", "cat/2"):
        (tmp_path / f"mine/{name}.png").write_bytes(b"one picture")
    pictures["data"] |= {"train": 38}
    run(pictures, tmp_path)
    pictures["data"] |= {"train": 39}
    with pytest.raises(Refusal, match=r"there are 78 images; .*\(left out 2 copies of other pictures: cat/1.png"):
        run(pictures, tmp_path)


def test_pictures_much_larger_than_the_network_s_input_are_refused(tmp_path, pictures):
    pictures["data"]["side"] = 2 * pictures["train"]["common"]["image_size"]
    pictures["train"]["full"]["first_image_size"] = 64
    with pytest.raises(Refusal, match=r"data.side = 192: train.full.first_image_size = 64 is less than half of it"):
        run(pictures, tmp_path)
    pictures["train"]["full"]["first_image_size"] = None
    pictures["train"]["scratch"]["image_size"] = 32
    with pytest.raises(Refusal, match=r"data.side = 192: train.scratch.image_size = 32 is less than half of it"):
        run(pictures, tmp_path)
    pictures["train"]["scratch"]["image_size"] = 97
    run(pictures, tmp_path)
    pictures["data"]["side"] += 1
    with pytest.raises(Refusal, match=r"data.side = 193: train.common.image_size = 96 is less than half of it"):
        run(pictures, tmp_path)


@pytest.mark.parametrize("key", ["train.common.recipe", *(f"train.{block}" for block in PARAMS["train"]), *PARAMS])
def test_a_missing_block_is_refused_by_name(tmp_path, key):
    params = copy.deepcopy(PARAMS)
    block = params
    *parents, leaf = key.split(".")
    for part in parents:
        block = block[part]
    del block[leaf]
    with pytest.raises(Refusal, match=f"{key} is missing"):
        run(params, tmp_path)


def test_a_bad_parameter_ends_the_script_with_one_line_and_status_one(tmp_path):
    (tmp_path / "params.yaml").write_text(json.dumps(changed("freeze", "all")))

    result = subprocess.run(
        [sys.executable, "-m", "stages.check_params"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert result.stderr.startswith("check_params: params.yaml: freeze = 'all'")
    assert result.stderr.count("\n") == 1


def with_backbone(name):
    return changed("backbone", PARAMS["backbone"] | {"name": name, "weights": "none"})


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("timm/convnext_ato", "timm has no such network; similar: convnext_atto"),
        (
            "timm/vit_tiny_patch16_224",
            "it has no stage of stride 4; choose a convolutional network, such as timm/resnet26",
        ),
        ("timm/hrnet_w18_small", "it has no stage of stride 4"),
        (
            "timm/swin_tiny_patch4_window7_224",
            "96 pixels a side: timm/swin_tiny_patch4_window7_224 cannot take it (Input",
        ),
    ],
)
def test_a_network_of_timm_that_cannot_be_used_is_refused_in_one_line(tmp_path, name, line):
    assert line in refused(with_backbone(name), tmp_path)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "timm/convnext_atto", "timm/densenet121"])
def test_a_network_of_timm_that_can_be_cut_is_valid(tmp_path, name):
    run(with_backbone(name), tmp_path)


def test_timm_is_needed_for_its_networks_alone(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    run(with_backbone("resnet34"), tmp_path)
    for name in ("efficientnet_lite0", "timm/resnet26"):
        with pytest.raises(Refusal, match=r"timm is not installed: pip install -r requirements/timm\.txt$"):
            run(with_backbone(name), tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("mirror", 1, "mirror = 1: input should be a valid boolean"),
        ("mirror", None, "mirror = None: input should be a valid boolean"),
        ("train.full.first_image_size", 16, "train.full.first_image_size = 16: input should be greater than or equal"),
        ("train.full.first_image_size", 97, "first_image_size = 97: it is more than train.common.image_size = 96"),
        ("train.scratch.first_image_size", 33, "first_image_size = 33: it is more than train.scratch.image_size = 32"),
        (
            "train.layer4.first_image_size",
            97,
            "train.layer4.first_image_size = 97: it is more than",
        ),
    ],
)
def test_a_bad_mirror_or_first_image_size_is_refused_in_one_line(tmp_path, key, value, line):
    assert line in refused(changed(key, value), tmp_path)


@pytest.mark.parametrize(
    ("key", "value"), [("mirror", False), *(("train.full.first_image_size", size) for size in (None, 32, 96))]
)
def test_other_values_of_mirror_and_first_image_size_are_valid(tmp_path, key, value):
    run(changed(key, value), tmp_path)


def readers():
    """The modules that read parameters, and for each call of `parse` in them its key and its type, as nodes."""
    for path in [ROOT / "how_deep/app.py", *sorted(ROOT.glob("stages/*.py")), *sorted(ROOT.glob("study/**/*.py"))]:
        nodes = ast.walk(ast.parse(path.read_text()))
        calls = [node for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) == "parse"]
        if calls:
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield pytest.param(name, [call.args[1:] for call in calls], id=name)


def declared(key):
    kind, parts = Params, key.split(".") if key else []
    if parts[:1] == ["train"] and parts[1:]:
        kind, parts = {"common": Common, "scratch": FromScratch}.get(parts[1], FineTuning), parts[2:]
    for part in parts:
        kind = get_type_hints(kind, include_extras=True)[part]
    return kind


@pytest.mark.parametrize(("name", "calls"), list(readers()))
def test_a_parameter_is_read_as_the_type_that_check_params_holds_it_to(name, calls):
    for key, kind in calls:
        if isinstance(key, ast.JoinedStr) or (name == "stages.report" and isinstance(key, ast.Name)):
            continue  # it quotes whole blocks, computes nothing from them, and does not load torch for their types
        assert eval(ast.unparse(kind), vars(import_module(name))) == declared(ast.literal_eval(key)), ast.unparse(key)


@pytest.mark.parametrize(
    ("stage", "key", "value", "line"),
    [
        (adapt, "calibrate.bins", 0, "calibrate.bins = 0: input should be greater than or equal to 2"),
        (label_errors, "calibrate.resamples", 0, "resamples = 0: input should be greater than or equal to 20"),
        (label_errors, "calibrate.seed", -1, "calibrate.seed = -1: input should be greater than or equal to 0"),
        (label_errors, "data.dataset", "cifar", "data.dataset = 'cifar': input should be 'cifar10', 'cifar100'"),
        (
            preview,
            "data.dataset",
            "cifar",
            "data.dataset = 'cifar': input should be 'cifar10', 'cifar100', 'digits' or 'folder'",
        ),
    ],
)
def test_a_stage_that_runs_alone_refuses_what_check_params_would(tmp_path, stage, key, value, line):
    with pytest.raises(Refusal, match=re.escape(line)):
        stage(changed(key, value), tmp_path, *(["fc"] if stage is adapt else []))
