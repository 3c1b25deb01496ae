"""A training that was killed, or ended by a signal, is carried on by the next run and leaves the same bytes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from stages import backbone, download, features, subsample
from study.pipeline.params import read_params
from tests.test_dvc_yaml import ROOT

pytestmark = pytest.mark.slow

PARAMS = read_params(ROOT / "params.yaml")
PARAMS["data"] |= {"dataset": "digits", "train": 100, "val": 40, "test": 40}
PARAMS["backbone"] = {"name": "resnet18", "weights": "none", "head": {"hidden": [16], "dropout": 0.3}}
PARAMS["train"]["common"] |= {"image_size": 32, "views": 2, "batch_size": 20}
PARAMS["train"]["full"]["first_image_size"] = None
for recipe in (PARAMS["train"]["common"]["probe"], *(PARAMS["train"][name] for name in ("layer4", "full", "scratch"))):
    recipe |= {"epochs": 3, "lr": 0.02}


HELD = """
import runpy, sys, threading
from study.training.checkpoints import Checkpoints

phase, variant = sys.argv[1:]
del sys.argv[1:]
save = Checkpoints.save

def save_and_wait(checkpoints, name, state):
    save(checkpoints, name, state)
    if name == phase:
        threading.Event().wait()

Checkpoints.save = save_and_wait
runpy.run_module(f"stages.train_{variant}", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """A project whose trainings can start."""
    root = tmp_path_factory.mktemp("ready")
    (root / "params.yaml").write_text(json.dumps(PARAMS))
    for stage in (download, backbone, subsample, features):
        stage.run(PARAMS, root)
    return root


def start(root, *python):
    return subprocess.Popen(
        [sys.executable, *python],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def train(root, variant):
    return start(root, "-m", f"stages.train_{variant}")


def finish(process):
    """What a training prints that nobody disturbs."""
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return output


def interrupt(root, variant, phase, number):
    """What a training prints, and its status and last words, when it gets a signal after one more epoch of `phase`."""
    process = start(root, "-c", HELD, phase, variant)
    while process.poll() is None and not list(root.glob(f".cache/checkpoints/{variant}/*/{phase}.pt")):
        time.sleep(0.02)
    process.send_signal(number)
    output, errors = process.communicate()
    return output, process.returncode, errors


@pytest.mark.parametrize("variant", ["layer4", "full"])
def test_a_training_that_is_killed_and_then_ended_is_carried_on_to_the_same_bytes(ready, tmp_path, variant):
    outputs = [f"models/{variant}.safetensors", f"results/training/{variant}/curve.csv"]
    undisturbed, disturbed = (shutil.copytree(ready, tmp_path / name) for name in ("undisturbed", "disturbed"))
    beside = train(undisturbed, variant)

    output, status, _ = interrupt(disturbed, variant, "head", signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert "head   1/3" in output

    output, status, errors = interrupt(disturbed, variant, variant, signal.SIGTERM)
    assert status == 128 + signal.SIGTERM
    assert errors == f"train_{variant}: ended by SIGTERM; the next run does what is missing\n"
    assert "head: carrying on after epoch 1 of 3\n" in output
    assert f"{variant}   1/3" in output
    assert not any((disturbed / name).exists() for name in outputs)

    output = finish(train(disturbed, variant))
    assert "head: carrying on after epoch 3 of 3\n" in output
    assert f"{variant}: carrying on after epoch 1 of 3\n" in output
    assert "carrying on" not in finish(beside)
    assert {name for name in outputs if (disturbed / name).read_bytes() != (undisturbed / name).read_bytes()} == set()
    assert list((disturbed / ".cache/checkpoints").iterdir()) == []


def test_a_training_from_nothing_that_is_killed_is_carried_on_to_the_same_bytes(ready, tmp_path):
    outputs = ["models/scratch.safetensors", "results/training/scratch/curve.csv"]
    undisturbed, disturbed = (shutil.copytree(ready, tmp_path / name) for name in ("undisturbed", "disturbed"))
    finish(train(undisturbed, "scratch"))
    _, status, _ = interrupt(disturbed, "scratch", "scratch", signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert "scratch: carrying on after epoch 1 of 3\n" in finish(train(disturbed, "scratch"))
    assert {name for name in outputs if (disturbed / name).read_bytes() != (undisturbed / name).read_bytes()} == set()
