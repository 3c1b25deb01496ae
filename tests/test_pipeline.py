"""The whole pipeline, with real code on real digits, in a temporary clone."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lab.faults.study import contents
from study.pipeline.params import read_params
from tests.stages.test_report import SUMMARY_KEYS
from tests.test_dvc_yaml import RECOMPUTES

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SMALL = {
    "data": {"dataset": "digits", "train": 200, "val": 60, "test": 80, "seed": 0},
    "train.common": {"batch_size": 20, "views": 2, "image_size": 64},
    "train.common.augment": {"augmix": False},  # too much for so short a training
    "train.common.probe": {"epochs": 5},
    "train.fc": {"epochs": 5},
    "train.layer4": {"epochs": 1},
    "train.full": {"epochs": 2, "lr": 0.02, "first_image_size": None},
    "train.full.augment": {"augmix": False},
    "train.scratch": {"epochs": 8, "batch_size": 20},
    "train.scratch.augment": {"augmix": False},
    "calibrate": {"resamples": 50},
    "corrupt_eval": {
        "images": 20,
        "corruptions": ["gaussian_noise", "frost", "jpeg_compression", "saturate", "ripple"],
    },
    "interpolate": {"shares": [0.5]},
    "adversarial": {"images": 10, "epsilons": [2, 8], "steps": 2},
    "gradcam": {"faithfulness_images": 10},
}


def call(folder, *command):
    """What `command` prints, run in `folder` with this Python first on the path and the network forbidden to it."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT / "tests/offline")}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def stages_run(output):
    return {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}


def small_params(path):
    params = read_params(path)
    for key, values in SMALL.items():
        block = params
        for part in key.split("."):
            block = block[part]
        block |= values
    return json.dumps(params)


def copy_tracked(folder, but=()):
    """Make a git repository of what git tracks here, with nothing committed."""
    for name in call(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard").splitlines():
        if (ROOT / name).exists() and name not in but:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    call(folder, "git", "init", "--quiet")
    call(folder, "git", "config", "user.email", "test@example.org")
    call(folder, "git", "config", "user.name", "Test")


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A repository of what git tracks here, with small parameters, reproduced and committed."""
    folder = tmp_path_factory.mktemp("clone")
    copy_tracked(folder, but=["dvc.lock"])
    (folder / "params.yaml").write_text(small_params(folder / "params.yaml"))
    ran = stages_run(call(folder, "dvc", "repro"))
    assert ran == set(call(folder, "dvc", "stage", "list", "--name-only").split())
    call(folder, "git", "add", "--all")
    call(folder, "git", "commit", "--quiet", "--message", "Reproduce")
    return folder


def summary(folder):
    return json.loads((folder / "metrics/summary.json").read_text())


def test_the_summary_has_every_metric_of_every_variant(clone):
    metrics = {name: set(measured) for name, measured in summary(clone).items()}
    assert set(metrics) == {"fc", "layer4", "full", "scratch", "published", "majority"}
    assert metrics.pop("majority") == {"accuracy"}
    assert all(names - {"balanced_accuracy"} == set(SUMMARY_KEYS) for names in metrics.values())


def test_what_was_learned_from_two_hundred_digits_beats_guessing(clone):
    of = summary(clone)
    assert min(of[variant]["accuracy"] for variant in ("fc", "layer4", "full", "scratch")) > 0.3


def test_a_second_repro_runs_nothing_and_leaves_the_tree_clean(clone):
    assert stages_run(call(clone, "dvc", "repro")) == set()
    assert call(clone, "git", "status", "--porcelain") == ""


def test_another_published_variant_re_runs_only_what_publishes_and_going_back_trains_nothing(clone):
    before = summary(clone)
    ran = stages_run(call(clone, "dvc", "exp", "run", "--set-param", "freeze=layer4"))
    assert ran == {"check_params", "gradcam", "export", "report"}
    after = summary(clone)
    assert after["published"] == before["layer4"]
    assert "published" in call(clone, "dvc", "metrics", "diff")
    restore(clone)
    assert summary(clone) == before


def test_no_more_runs_than_the_table_says_and_no_training(clone):
    change = "calibrate.bins=10"
    ran = stages_run(call(clone, "dvc", "exp", "run", "--set-param", change))
    assert {"check_params", "report"} < ran <= RECOMPUTES[change] | {"check_params"}
    assert not any(name.startswith(("train", "features")) for name in ran)
    restore(clone)


def restore(clone):
    """Go back to the committed run, and make sure that it is whole."""
    call(clone, "git", "restore", ".")
    call(clone, "dvc", "checkout")
    assert stages_run(call(clone, "dvc", "repro")) == set()


def test_a_bad_parameter_is_refused_before_anything_runs_and_nothing_is_lost(clone):
    text = (clone / "params.yaml").read_text()
    (clone / "params.yaml").write_text(text.replace('"digits"', '"letters"'))
    environment = os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    result = subprocess.run(["dvc", "repro"], cwd=clone, env=environment, capture_output=True, text=True)
    (clone / "params.yaml").write_text(text)
    assert result.returncode != 0
    assert "check_params: params.yaml: data.dataset = 'letters'" in result.stderr
    assert stages_run(result.stdout) == {"check_params"}
    call(clone, "dvc", "checkout")
    assert stages_run(call(clone, "dvc", "repro")) == set()


def test_the_exported_model_answers_from_the_command_line(clone):
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(clone / "photo.png")
    output = call(clone, "python", "inference.py", "--image", "photo.png")
    (clone / "photo.png").unlink()
    assert "photo.png" in output
    assert "%" in output


def test_trained_judged_and_exported_again_in_another_clone_it_leaves_the_same_bytes(clone, tmp_path):
    again = tmp_path / "again"
    call(tmp_path, "git", "clone", "--quiet", str(clone), str(again))
    (again / "dvc.lock").unlink()
    for path in ("metrics", "plots"):
        shutil.rmtree(again / path)  # what git brought
    ran = stages_run(call(again, "dvc", "repro", "train_scratch", "corrupt_eval@full", "export"))
    assert {"train_full", "train_scratch", "corrupt_eval@full", "export"} <= ran
    made, before = contents(again), contents(clone)
    assert {"models/full.safetensors", "results/training/full/curve.csv", "models/model.onnx"} < made.keys()
    assert {name: before[name] for name in made} == made
