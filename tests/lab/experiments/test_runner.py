"""The queue on a real git and DVC repository whose stages take no time."""

import os
import shutil
import signal
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from lab.experiments import __main__ as program
from lab.experiments.runner import identity, run_study
from lab.experiments.studies import Study
from study.pipeline.files import read_table, write_json, write_table
from study.pipeline.params import Refusal
from study.pipeline.stage import main
from tests.lab.experiments.toy_project import call, make_project, study, trained

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value")  # DVC's, of pygtrie


@pytest.fixture(scope="module")
def committed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("committed") / "project"
    make_project(folder)
    return folder


@pytest.fixture
def project(committed, tmp_path, monkeypatch):
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    return Path(shutil.copytree(committed, tmp_path / "project"))


def run(project, *rates):
    return run_study(project, "augmentation", study(*rates))


def table(project):
    return read_table(project / "lab/experiments/results/augmentation.csv")


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
    assert call(project, "git", "status", "--porcelain") == "?? lab/\n"
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
    with Image.open(project / "lab/experiments/results/augmentation.png") as picture:
        assert picture.width > 1000

    before = table(project)
    call(project, "git", "add", "--all")
    call(project, "git", "commit", "--quiet", "--message", "The study")
    assert run(project, 0.1, 0.2) == []
    assert trained(project) == []
    pd.testing.assert_frame_equal(table(project), before)

    shutil.rmtree(project / ".dvc/cache")
    with pytest.raises(
        Refusal,
        match=r"^what augmentation-lr0\.1-0-\w+, augmentation-lr0\.2-0-\w+ measured is no longer in DVC's cache",
    ):
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


@pytest.mark.slow
def test_a_study_that_is_judged_on_val_trains_alone_and_has_the_best_epoch_of_the_last_phase(project):
    recipes = Study(("full",), {}, {"64px_3": (1, {"train.full.lr": 0.2})}, judged_on="val")
    assert recipes.targets("64px_3") == ["train_full"]
    assert run_study(project, "recipes", recipes) == []
    (row,) = pd.read_csv(project / "lab/experiments/results/recipes.csv").to_dict("records")
    assert (row["setting"], row["variant"]) == ("64px_3", "full")
    assert (row["val_accuracy"], row["val_loss"], row["train_loss"]) == (0.7, 0.45, 0.3)  # the later of equals
    assert row["train_seconds"] == 3.0 + 2.0  # and of the features
    assert (project / "lab/experiments/results/recipes.png").exists()


@pytest.mark.slow
def test_the_systems_are_also_told_in_a_table_with_the_command_of_each(project):
    study = Study(("full",), {}, {"resnet18": (1, {"train.full.lr": 0.2})})
    assert run_study(project, "systems", study) == []
    text = (project / "lab/experiments/results/systems.md").read_text()
    assert "`dvc exp run -S train.full.lr=0.2`" in text
    assert "| `full` | everything | 93 to 95 %" in text and "| 70.00 % (60.00 to 80.00) |" in text


def test_the_committed_study_is_a_setting_that_is_read_from_git_and_not_run(project):
    scores = {"accuracy": 0.9, "ece": 0.03, "nll": 1.0, "brier": 1.0, "macro_f1": 0.5, "null": {"ece": {"upper": 0.02}}}
    interval = {"accuracy": {"low": 0.88, "high": 0.92}}
    calibration = {"full": {"temperature": 1.5, "before": scores, "after": scores, "intervals": interval}}
    calibration["full"] |= {"fitted": True, "never_predicted": [], "per_class": {"cat": {"support": 1}}}
    condition = {"variant": "full", "group": "benchmark", "severity": 1, "ece_before": 0.3, "ece_after": 0.2}
    condition |= {"ece_null_mean": 0.05, "ece_null_upper": 0.1}
    conditions = [condition | {"corruption": "fog", "accuracy": 0.6}, condition | {"corruption": "snow", "accuracy": 0}]
    (project / "metrics").mkdir()
    write_json(project / "metrics/calibration.json", calibration)
    write_json(project / "metrics/training.json", {"features": {"seconds": 20.0}, "full": {"train_seconds": 300.0}})
    write_table(project / "metrics/corruption.csv", pd.DataFrame(conditions))
    call(project, "git", "add", "metrics")
    call(project, "git", "commit", "-qm", "A run")
    write_json(project / "metrics/calibration.json", {})  # what an experiment leaves in the working tree
    study = Study(("full",), {"corrupt_eval.corruptions": ["fog"]}, {}, committed="all")
    assert run_study(project, "data_size", study) == []
    assert trained(project) == []
    (row,) = read_table(project / "lab/experiments/results/data_size.csv").to_dict("records")
    assert (row["setting"], row["seed"], row["train_images"], row["variant"]) == ("all", 0, 100, "full")
    assert (row["accuracy"], row["accuracy_low"], row["corrupted_accuracy"]) == (0.9, 0.88, 0.6)
    assert row["train_seconds"] == 320.0
