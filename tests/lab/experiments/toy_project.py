"""A git and DVC repository whose stages have the study's names and take no time, for the tests of the queues."""

import os
import subprocess
import sys
from pathlib import Path

from lab.experiments.studies import Study

DVC_YAML = """
stages:
  check_params: {cmd: echo fine > params.ok, deps: [gallery.py], params: [{params.yaml: }], outs: [params.ok]}
  features:
    cmd: python toy.py features
    deps: [toy.py, params.ok]
    params: [data]
    outs: [results/training/features.json]
  train_full:
    cmd: python toy.py training full
    deps: [toy.py, library, results/training/features.json]
    params: [train.full]
    outs: [results/training/full]
  calibrate:
    matrix: {variant: [full]}
    cmd: python toy.py calibration ${item.variant}
    deps: [toy.py, "results/training/${item.variant}"]
    outs: ["results/calibration/${item.variant}"]
  corrupt_eval:
    matrix: {variant: [full]}
    cmd: python toy.py corruption ${item.variant}
    deps: [toy.py, "results/calibration/${item.variant}"]
    outs: ["results/corruption/${item.variant}"]
  gallery: {cmd: echo pictures, deps: [gallery.py], params: [gradcam]}
"""
PARAMS = """
data: {train: 100, seed: 0}
train:
  common: {seed: 0}
  full: {lr: 0.1, epochs: 1}
  scratch: {seed: 0}
gradcam: {images: 3}
"""
TOY = '''
"""Stands in for every stage. A file `hold` beside the one that $LOG names lets no training at lr 0.2 go on."""
import json, os, sys, time
from pathlib import Path
from ruamel.yaml import YAML

stage, variant = sys.argv[1], (sys.argv[2:] or ["features"])[0]
lr = 0.0
if stage == "training":
    lr = YAML(typ="safe").load(Path("params.yaml"))["train"]["full"]["lr"]
    log = Path(os.environ["LOG"])
    with log.open("a") as file:
        print(lr, file=file)
    while lr == 0.2 and (log.parent / "hold").exists():
        time.sleep(0.01)
    if lr > 1:
        sys.exit(f"train_full: lr = {lr} is too high")
elif stage == "calibration":
    lr = json.loads(Path("results/training/full/cost.json").read_text())["lr"]
scores = {"accuracy": 0.5 + lr, "ece": 0.1, "nll": 1.0, "brier": 1.0, "macro_f1": 0.5, "null": {"ece": {"upper": 0.02}}}
interval = {"accuracy": {"low": 0.4 + lr, "high": 0.6 + lr}}
row = {"variant": variant, "corruption": "fog", "group": "benchmark", "severity": 1, "accuracy": 0.4}
row |= {"ece_before": 0.3, "ece_after": 0.2, "ece_null_mean": 0.05, "ece_null_upper": 0.1}
content = {
    "features": {"seconds": 2.0},
    "training": {"train_seconds": 3.0, "lr": lr},
    "calibration": {"temperature": 1.5, "fitted": True, "before": scores, "after": scores, "intervals": interval}
    | {"never_predicted": [], "per_class": {"cat": {"support": 1}}},
    "corruption": ",".join(row) + "\\n" + ",".join(map(str, row.values())) + "\\n",
}[stage]
path = Path("results") / {
    "features": "training/features.json",
    "training": "training/full/cost.json",
    "calibration": "calibration/full/metrics.json",
    "corruption": "corruption/full/conditions.csv",
}[stage]
path.parent.mkdir(parents=True, exist_ok=True)
path.write_text(content if stage == "corruption" else json.dumps(content))
if stage == "training":
    rows = ["head,1,0.1,1.0,0.9,0.99", "full,1,0.1,0.5,0.4,0.7", "full,2,0.1,0.3,0.45,0.7", "full,3,0.1,0.2,0.5,0.6"]
    path.with_name("curve.csv").write_text("\\n".join(["phase,epoch,lr,train_loss,val_loss,val_accuracy", *rows]))
'''


def study(*rates):
    """One experiment for each learning rate."""
    settings = {f"lr{rate}": (1, {"train.full.lr": rate}) for rate in rates}
    return Study(("full",), {"data.train": 200}, settings)


def make_project(folder: Path) -> None:
    """Committed, and never run."""
    folder.mkdir()
    files = {
        "dvc.yaml": DVC_YAML,
        "params.yaml": PARAMS,
        "toy.py": TOY,
        "library/train.py": "",
        "gallery.py": "",
        "notes": "",
    }
    for name, text in (files | {".gitignore": "/params.ok\n/results/\n/runs/\n/.cache/\n"}).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    call(folder, "git", "init", "--quiet")
    call(folder, "git", "config", "user.email", "test@example.org")
    call(folder, "git", "config", "user.name", "Test")
    call(folder, "dvc", "init", "--quiet")
    call(folder, "dvc", "config", "core.analytics", "false")
    call(folder, "git", "add", "--all")
    call(folder, "git", "commit", "--quiet", "--message", "Start")


def call(folder, *command):
    environment = os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    return subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout


def trained(project):
    """The learning rates of the trainings that started since the last call."""
    log = project.parent / "log"
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return [float(line) for line in lines]
