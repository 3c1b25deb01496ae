"""The queue on a real git and DVC repository whose stages take no time."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from experiments import __main__ as program
from experiments.runner import identity, run_study
from experiments.studies import Study
from study.pipeline.files import read_table, write_json, write_table
from study.pipeline.params import Refusal
from study.pipeline.stage import main

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
import yaml

stage, variant = sys.argv[1], (sys.argv[2:] or ["features"])[0]
lr = 0.0
if stage == "training":
    lr = yaml.safe_load(Path("params.yaml").read_text())["train"]["full"]["lr"]
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
    "calibration": {"temperature": 1.5, "before": scores, "after": scores, "intervals": interval},
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
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value")  # DVC's, of pygtrie


def study(*rates):
    """One experiment for each learning rate."""
    settings = {f"lr{rate}": (1, {"train.full.lr": rate}) for rate in rates}
    return Study(("full",), {"data.train": 200}, settings)


@pytest.fixture(scope="module")
def committed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("committed") / "project"
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
    return folder


@pytest.fixture
def project(committed, tmp_path, monkeypatch):
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    return Path(shutil.copytree(committed, tmp_path / "project"))


def call(folder, *command):
    environment = os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    return subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout


def trained(project):
    """The learning rates of the trainings that started since the last call."""
    log = project.parent / "log"
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return [float(line) for line in lines]


def run(project, *rates):
    return run_study(project, "augmentation", study(*rates))


def table(project):
    return read_table(project / "experiments/results/augmentation.csv")


def name_of_first(project):
    (experiment,) = study(0.2).experiments("augmentation")
    return identity(project, experiment, study(0.2).targets(experiment.setting))


@pytest.fixture
def signals():
    """The handlers as they were, once the test has ended."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.slow
def test_a_queue_that_was_stopped_carries_on_where_it_was(project, monkeypatch, signals, capsys):
    hold, log, over = project.parent / "hold", project.parent / "log", threading.Event()
    hold.touch()
    monkeypatch.chdir(project)
    monkeypatch.setattr(sys, "argv", ["experiments"])
    monkeypatch.setattr(program, "STUDIES", {"augmentation": study(0.1, 0.2)})

    def stop_in_the_second():
        while not over.wait(0.02):
            if log.exists() and "0.2" in log.read_text():
                return os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop_in_the_second, daemon=True).start()
    try:
        with pytest.raises(SystemExit) as ended:
            main(program.run)
    finally:
        over.set()
    output, errors = capsys.readouterr()
    assert ended.value.code == 128 + signal.SIGTERM
    assert errors == "experiments: ended by SIGTERM; the next run does what is missing\n"
    assert "augmentation: 2 experiments, 0 of them finished before\n" in output
    assert trained(project) == [0.1, 0.2]
    assert list((project / ".dvc/tmp/exps/standalone").glob("tmp*")) == []

    hold.unlink()
    assert run(project, 0.1, 0.2) == []
    assert trained(project) == [0.2]
    assert "2 experiments, 1 of them finished before" in capsys.readouterr().out
    assert call(project, "git", "status", "--porcelain") == "?? experiments/\n"
    assert table(project).loc[1].to_dict() == {
        "setting": "lr0.2",
        "seed": 0,
        "train_images": 200,
        "variant": "full",
        "accuracy": 0.7,
        "accuracy_low": 0.6,
        "accuracy_high": 0.8,
        "ece_before": 0.1,
        "ece_after": 0.1,
        "ece_null_upper": 0.02,
        "corrupted_accuracy": 0.4,
        "corrupted_ece_after": 0.2,
        "train_seconds": 5.0,
    }
    with Image.open(project / "experiments/results/augmentation.png") as picture:
        assert picture.width > 1000

    before = table(project)
    call(project, "git", "add", "--all")
    call(project, "git", "commit", "--quiet", "--message", "The study")
    assert run(project, 0.1, 0.2) == []
    assert trained(project) == []
    pd.testing.assert_frame_equal(table(project), before)

    shutil.rmtree(project / ".dvc/cache")
    with pytest.raises(Refusal, match=r"^what augmentation-lr0\.1-0-\w+ measured is no longer in DVC's cache"):
        run(project, 0.1, 0.2)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("library/train.py", "", "better = True"),
        ("params.yaml", "epochs: 1", "epochs: 2"),
        ("dvc.yaml", "toy.py calibration", "-I toy.py calibration"),
        ("dvc.yaml", "params: [data]", "params: [data, gradcam]"),
    ],
)
def test_a_change_of_what_an_experiment_is_made_of_gives_it_another_name(project, file, old, new):
    before = name_of_first(project)
    change(project / file, old, new)
    after = name_of_first(project)
    assert after != before
    assert after.startswith("augmentation-lr0.2-0-")


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("notes", "", "more"),
        ("gallery.py", "", "other = True"),
        ("params.yaml", "images: 3", "images: 4"),
        ("params.yaml", "lr: 0.1", "lr: 0.5"),  # every experiment has its own
        ("dvc.yaml", "echo pictures", "echo none"),
    ],
)
def test_a_change_of_anything_else_leaves_it_finished(project, file, old, new):
    before = name_of_first(project)
    change(project / file, old, new)
    assert name_of_first(project) == before


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.slow
def test_a_failed_experiment_is_named_in_a_line_and_the_rest_go_on(project, monkeypatch, capsys):
    monkeypatch.setattr(program, "STUDIES", {"augmentation": study(5.0, 0.3)})
    with pytest.raises(Refusal, match=r"^1 of the experiments failed, .*: augmentation-lr5\.0-0-\w+$"):
        program.run({}, project)
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith(" 1 of 2"))
    assert "failed: train_full: lr = 5.0 is too high (all of it in " in line
    assert Path(line.split(" in ")[-1].rstrip(")")).exists()
    assert list(table(project)["setting"]) == ["lr0.3"]


def test_a_study_that_is_judged_on_val_trains_alone_and_has_the_best_epoch_of_the_last_phase(project):
    recipes = Study(("full",), {}, {"64px": (1, {"train.full.lr": 0.2})}, judged_on="val")
    assert recipes.targets("64px") == ["train_full"]
    assert run_study(project, "recipes", recipes) == []
    (row,) = pd.read_csv(project / "experiments/results/recipes.csv").to_dict("records")
    assert (row["setting"], row["variant"]) == ("64px", "full")
    assert (row["val_accuracy"], row["val_loss"], row["train_loss"]) == (0.7, 0.45, 0.3)  # the later of equals
    assert row["train_seconds"] == 3.0 + 2.0  # and of the features
    assert (project / "experiments/results/recipes.png").exists()


def test_the_systems_are_also_told_in_a_table_with_the_command_of_each(project):
    study = Study(("full",), {}, {"resnet18": (1, {"train.full.lr": 0.2})})
    assert run_study(project, "systems", study) == []
    text = (project / "experiments/results/systems.md").read_text()
    assert "`dvc exp run -S train.full.lr=0.2`" in text
    assert "| `full` | everything | 93 to 95 %" in text and "| 70.00 % (60.00 to 80.00) |" in text


def test_the_committed_study_is_a_setting_that_is_read_from_metrics_and_not_run(project):
    scores = {"accuracy": 0.9, "ece": 0.03, "nll": 1.0, "brier": 1.0, "macro_f1": 0.5, "null": {"ece": {"upper": 0.02}}}
    interval = {"accuracy": {"low": 0.88, "high": 0.92}}
    calibration = {"full": {"temperature": 1.5, "before": scores, "after": scores, "intervals": interval}}
    condition = {"variant": "full", "group": "benchmark", "severity": 1, "ece_before": 0.3, "ece_after": 0.2}
    condition |= {"ece_null_mean": 0.05, "ece_null_upper": 0.1}
    conditions = [condition | {"corruption": "fog", "accuracy": 0.6}, condition | {"corruption": "snow", "accuracy": 0}]
    (project / "metrics").mkdir()
    write_json(project / "metrics/calibration.json", calibration)
    write_json(project / "metrics/training.json", {"features": {"seconds": 20.0}, "full": {"train_seconds": 300.0}})
    write_table(project / "metrics/corruption.csv", pd.DataFrame(conditions))
    study = Study(("full",), {"corrupt_eval.corruptions": ["fog"]}, {}, committed="all")
    assert run_study(project, "data_size", study) == []
    assert trained(project) == []
    (row,) = read_table(project / "experiments/results/data_size.csv").to_dict("records")
    assert (row["setting"], row["seed"], row["train_images"], row["variant"]) == ("all", 0, 100, "full")
    assert (row["accuracy"], row["accuracy_low"], row["corrupted_accuracy"]) == (0.9, 0.88, 0.6)
    assert row["train_seconds"] == 320.0
