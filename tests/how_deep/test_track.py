"""how-deep track: what MLflow and Weights & Biases then hold is what DVC holds. Offline, with the real packages."""

import json
import os
import struct
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from how_deep import track

ROOT = Path(__file__).parents[2]
PARAMS = {
    "freeze": "full",
    "data": {"dataset": "digits", "cifar10c_dir": None},
    "train": {"full": {"epochs": 3, "lr": 0.00005}, "hidden": [64, 32]},
}
METRICS = {
    "fc": {"accuracy": 0.8125, "ece_after": 0.01234567890123456},
    "full": {"accuracy": 0.9375, "ece_after": 1e-7},
}
WARM = {"freeze": "fc", "train": PARAMS["train"] | {"full": {"epochs": 3, "lr": 0.1}}}
CURVES = """\
variant,phase,epoch,lr,val_accuracy
fc,head,1,0.1,0.5
fc,head,2,0.05,0.625
full,head,1,0.1,0.5
full,full,2,0.02,0.75
full,full,3,0.01,0.875
"""
VAL_ACCURACY = {"fc": {1: 0.5, 2: 0.625}, "full": {1: 0.5, 2: 0.75, 3: 0.875}}
FIGURES = {"plots/gradcam/hits.png", "plots/report/reliability.png"}
FILES = FIGURES | {"MODEL_CARD.md", "models/model.onnx", "report.html"}

# SQLAlchemy's, about a word that MLflow uses
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")


def run(*command, folder, **environment):
    """What a command prints. It must succeed."""
    done = subprocess.run(command, cwd=folder, env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """Three commits: one before the study ran, its run, and the experiment `warm`, whose model no cache holds.

    The working tree keeps what belongs to `warm`.
    """
    root = tmp_path_factory.mktemp("repository")

    def dvc(*arguments):
        run(sys.executable, "-m", "dvc", *arguments, "--quiet", folder=root)

    def git(*arguments):
        run("git", *arguments, folder=root)

    def write(name, text):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)

    git("init", "--initial-branch=main")
    git("config", "user.name", "Test")
    git("config", "user.email", "test@example.org")
    dvc("init")
    write("params.yaml", json.dumps(PARAMS))
    write("dvc.yaml", "params: [params.yaml]\n")
    git("add", "--all")
    git("commit", "--message", "Lay out the study")
    git("tag", "before")

    write("dvc.yaml", "params: [params.yaml]\nmetrics: [metrics/summary.json]\n")
    write("metrics/summary.json", json.dumps(METRICS))
    write("plots/report/learning_curves.csv", CURVES)
    write("MODEL_CARD.md", "# Card\n")
    write("report.html", "<p>Page</p>\n")
    write("models/model.onnx", "trained")
    write(".gitignore", "/runs/\n")
    for name in FIGURES:
        (root / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(root / name)
    dvc("add", "models/model.onnx", "report.html")
    git("add", "--all")
    git("commit", "--message", "Run the study\n\nFor hours.")

    cached = set(root.glob(".dvc/cache/files/md5/*/*"))
    write("params.yaml", json.dumps(PARAMS | WARM))
    write("metrics/summary.json", json.dumps(METRICS | {"fc": {"accuracy": 0.25, "ece_after": 0.5}}))
    write("models/model.onnx", "trained from another start")
    dvc("add", "models/model.onnx")
    dvc("exp", "save", "--name", "warm")
    (model,) = set(root.glob(".dvc/cache/files/md5/*/*")) - cached
    model.unlink()
    (root / "models/model.onnx").unlink()
    return root


def send(to, repository):
    """What it prints of the last commit, the experiment, and the last commit by another name."""
    if find_spec(to) is None:
        pytest.skip(f"{to} is not installed: pip install -r requirements/track.txt")
    home = repository / "runs/home"
    home.mkdir(parents=True, exist_ok=True)
    command = sys.executable, "-m", "how_deep.track", to, "HEAD", "warm", "main"
    return run(*command, folder=repository, HOME=str(home), PYTHONPATH=str(ROOT))


@pytest.fixture(scope="module")
def sent_to_mlflow(repository):
    return send("mlflow", repository)


@pytest.fixture(scope="module")
def mlflow_runs(repository, sent_to_mlflow):
    """{name of a run: itself}, with MLflow's client."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{repository}/runs/mlflow.db")
    (experiment,) = (each for each in client.search_experiments() if each.name != "Default")
    return client, {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}


@pytest.fixture(scope="module")
def sent_to_wandb(repository):
    return send("wandb", repository)


@pytest.fixture(scope="module")
def wandb_runs(repository, sent_to_wandb):
    """{name of a run: (its folder, what it says of itself, all its records)}."""
    runs = {}
    for path in repository.glob("runs/wandb/offline-run-*/run-*.wandb"):
        kept = list(records(path))
        (about,) = (record.run for record in kept if record.HasField("run"))
        assert about.display_name not in runs
        runs[about.display_name] = path.parent, about, kept
    return runs


def records(path):
    """What the file of an offline run holds: a header of 7 bytes, then LevelDB's log format of 32 KiB blocks."""
    from wandb.proto.wandb_internal_pb2 import Record

    data = path.read_bytes()
    place, record = 7, b""
    while place < len(data):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        record += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(record)
            record = b""


def values(items):
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


@pytest.fixture(scope="module")
def commits(repository):
    """{name of a run: its commit}, the last commit's first."""
    last = run("git", "rev-parse", "HEAD", folder=repository)
    warm = run("git", "for-each-ref", "--format=%(objectname)", "refs/exps/*/*/warm", folder=repository)
    return {last[:7]: last, "warm": warm}


@pytest.mark.slow
def test_mlflow_holds_the_params_and_metrics_of_a_commit_and_of_an_experiment(commits, mlflow_runs):
    _, runs = mlflow_runs
    assert runs.keys() == commits.keys()
    committed, warm = (runs[name].data for name in commits)
    params = {"freeze": "full", "data.dataset": "digits", "data.cifar10c_dir": "None", "train.hidden": "[64, 32]"}
    params |= {"train.full.epochs": "3", "train.full.lr": "5e-05"}
    assert committed.params == params
    assert warm.params == params | {"freeze": "fc", "train.full.lr": "0.1"}
    metrics = {f"{variant}/{name}": value for variant in METRICS for name, value in METRICS[variant].items()}
    last = {"fc/val_accuracy": 0.625, "full/val_accuracy": 0.875, "fc/lr": 0.05, "full/lr": 0.01}
    assert committed.metrics == metrics | last
    assert warm.metrics == metrics | last | {"fc/accuracy": 0.25, "fc/ece_after": 0.5}


@pytest.mark.slow
def test_mlflow_holds_the_learning_curves_by_epoch_and_once(mlflow_runs):
    client, runs = mlflow_runs
    for each in runs.values():
        for variant, curve in VAL_ACCURACY.items():
            history = client.get_metric_history(each.info.run_id, f"{variant}/val_accuracy")
            assert [(point.step, point.value) for point in history] == list(curve.items())
        assert len(client.get_metric_history(each.info.run_id, "full/accuracy")) == 1


@pytest.mark.slow
def test_mlflow_holds_the_files_the_commit_and_the_variant(repository, commits, mlflow_runs):
    _, runs = mlflow_runs
    committed, _ = commits
    for name, variant, title, files in [
        (committed, "full", "Run the study", FILES),
        ("warm", "fc", "DVC experiment", FILES - {"models/model.onnx"}),
    ]:
        folder = Path(runs[name].info.artifact_uri.removeprefix("file://"))
        assert folder.is_relative_to(repository / "runs/mlruns")
        assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == files
        for figure in FIGURES:
            assert (folder / figure).read_bytes() == (repository / figure).read_bytes()
        tags = runs[name].data.tags
        assert tags["commit"] == tags["mlflow.source.git.commit"] == commits[name]
        assert (tags["variant"], tags["mlflow.note.content"]) == (variant, title)
        assert runs[name].info.status == "FINISHED"


@pytest.mark.slow
def test_wandb_holds_the_params_metrics_and_variant_of_a_commit_and_of_an_experiment(commits, wandb_runs):
    assert wandb_runs.keys() == commits.keys()
    for name, params, metrics in zip(
        commits,
        [PARAMS, PARAMS | WARM],
        [METRICS, METRICS | {"fc": {"accuracy": 0.25, "ece_after": 0.5}}],
        strict=True,
    ):
        _, about, kept = wandb_runs[name]
        config = values(about.config.update)
        assert {key: config[key] for key in config if key != "_wandb"} == params
        assert list(about.tags) == [params["freeze"]]
        summary = {key: value for record in kept for key, value in values(record.summary.update).items()}
        assert {
            variant: {key: summary[f"{variant}/{key}"] for key in metrics[variant]} for variant in metrics
        } == metrics


@pytest.mark.slow
def test_wandb_holds_the_learning_curves_by_epoch(wandb_runs):
    for _, _, kept in wandb_runs.values():
        curves = {variant: {} for variant in VAL_ACCURACY}
        for history in (record.history for record in kept if record.HasField("history")):
            row = values(history.item)
            for variant in VAL_ACCURACY:
                if f"{variant}/val_accuracy" in row:
                    curves[variant][history.step.num] = row[f"{variant}/val_accuracy"]
        assert curves == VAL_ACCURACY


@pytest.mark.slow
def test_wandb_holds_the_files_the_figures_as_pictures_and_the_commit(commits, wandb_runs):
    for name, files in zip(commits, [FILES, FILES - {"models/model.onnx"}], strict=True):
        folder, about, kept = wandb_runs[name]
        assert about.run_id == about.git.commit == commits[name]
        held = {file.path for record in kept for file in record.files.files} - {"requirements.txt"}
        pictures = {path for path in held if path.startswith("media/images/")}
        assert held - pictures == files
        assert len(pictures) == len(FIGURES)
        assert [path for path in held if not (folder / "files" / path).is_file()] == []


@pytest.mark.slow
@pytest.mark.parametrize("to", ["mlflow", "wandb"])
def test_it_says_what_was_sent_and_which_file_no_cache_holds(commits, request, to):
    printed = request.getfixturevalue(f"sent_to_{to}").splitlines()
    committed, _ = commits
    assert printed.count(f"{committed}: 6 params, 4 metrics, 4 curves and 5 files sent to {to}") == 2
    assert f"warm: 6 params, 4 metrics, 4 curves and 4 files sent to {to}" in printed
    assert [line for line in printed if "cache" in line] == [
        "track: warm: models/model.onnx is in neither DVC's cache nor a remote: sent without it"
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nowhere"], "track: nowhere: no commit, and no experiment that `dvc exp list --all-commits` names"),
        (["HEAD", "before"], "track: before: holds no metrics; take a commit in which the study ran"),
    ],
)
def test_a_revision_that_cannot_be_sent_is_refused_in_one_line(repository, monkeypatch, arguments, line):
    monkeypatch.chdir(repository)
    monkeypatch.setattr(track, "find_spec", lambda name: "installed")
    monkeypatch.setattr(sys, "argv", ["how-deep track", "mlflow", *arguments])
    monkeypatch.setitem(track.SENDERS, "mlflow", lambda revision: pytest.fail("something was sent"))
    with pytest.raises(SystemExit) as ended:
        track.main()
    assert str(ended.value) == line


@pytest.mark.parametrize("to", ["mlflow", "wandb"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch, to):
    monkeypatch.setattr(track, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["how-deep track", to])
    with pytest.raises(SystemExit, match=f"^track: {to} is not installed: pip install -r requirements/track.txt$"):
        track.main()


def test_neither_package_is_loaded_before_something_is_sent():
    loaded = run(sys.executable, "-c", "import sys, how_deep.track; print(*sys.modules)", folder=ROOT).split()
    assert "dvc.api" in loaded
    assert not {"mlflow", "wandb"} & set(loaded)
