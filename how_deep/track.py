"""Send revisions to MLflow or Weights & Biases: `how-deep track [mlflow|wandb] [REV ...]`, or `make track`.

DVC keeps everything already; this shows it to those who look at runs elsewhere. A revision is whatever `dvc exp` knows:
a commit, a branch, a tag or the name of an experiment; nothing is checked out. It becomes one run with its params, its
metrics (`full/accuracy`), its learning curves by epoch (`full/val_accuracy`), figures, model, card and page. Sending it
again writes over that run. Without REV it is the last commit; `dvc exp save --name NAME` makes a revision of changes
that are not committed.

MLflow's runs go to runs/mlflow.db and runs/mlruns, unless MLFLOW_TRACKING_URI is set; those of Weights & Biases to
runs/wandb, offline unless WANDB_MODE is set. Needs `pip install -r requirements/track.txt`.
"""

import argparse
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dvc.api import DVCFileSystem, metrics_show, params_show
from dvc.exceptions import DvcException
from dvc.scm import RevError

from study.pipeline.files import read_table

NAME = "cifar10-transfer-study"
RUNS = Path("runs")
CURVES = "plots/report/learning_curves.csv"
FILES = ("plots/**/*.png", "models/model.onnx", "MODEL_CARD.md", "report.html")


@dataclass(frozen=True)
class Revision:
    """What DVC and Git hold of a commit."""

    files: DVCFileSystem
    commit: str
    name: str  # of the experiment, else the commit's first seven digits
    title: str
    seconds: int  # when it was committed, since 1970
    params: dict[str, Any]  # as in params.yaml
    metrics: dict[str, float]  # full/accuracy
    curves: dict[str, dict[int, float]]  # full/val_accuracy, by epoch

    def fetch(self, folder: Path) -> list[str]:
        """Write its files below `folder`, without those that neither DVC's cache nor a remote holds; say which."""
        fetched = []
        for path in (path for pattern in FILES for path in self.files.glob(pattern)):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            try:
                self.files.get_file(path, str(folder / path))
            except (FileNotFoundError, DvcException):
                print(f"track: {self.name}: {path} is in neither DVC's cache nor a remote: sent without it")
            else:
                fetched.append(path)
        return fetched


def main() -> None:
    parser = argparse.ArgumentParser(prog="how-deep track", description=__doc__.splitlines()[0])
    parser.add_argument("to", nargs="?", choices=SENDERS, default="mlflow", help="default: mlflow")
    parser.add_argument("rev", nargs="*", default=["HEAD"], help="commits or experiments; default: the last commit")
    arguments = parser.parse_args()
    if find_spec(arguments.to) is None:
        sys.exit(f"track: {arguments.to} is not installed: pip install -r requirements/track.txt")
    for revision in [read(rev) for rev in arguments.rev]:
        files, next_step = SENDERS[arguments.to](revision)
        print(
            f"{revision.name}: {len(flat(revision.params, '.'))} params, {len(revision.metrics)} metrics, "
            f"{len(revision.curves)} curves and {len(files)} files sent to {arguments.to}\n  {next_step}"
        )


def read(rev: str) -> Revision:
    """Everything but the files. Ends the program, with one line, where there is no such revision or nothing in it."""
    files = DVCFileSystem(rev=rev)
    try:
        commit = files.repo.get_rev()
        params, metrics = params_show(rev=commit), metrics_show(rev=commit)
    except RevError:
        sys.exit(f"track: {rev}: no commit, and no experiment that `dvc exp list --all-commits` names")
    except (DvcException, FileNotFoundError) as fault:
        sys.exit(f"track: {rev}: {' '.join(str(fault).split())}")
    if not metrics:
        sys.exit(f"track: {rev}: holds no metrics; take a commit in which the study ran")
    scm = files.repo.scm
    about = scm.resolve_commit(commit)
    experiment = scm.describe([commit], base="refs/exps", exclude="refs/exps/exec/*")[commit]
    return Revision(
        files=files,
        commit=commit,
        name=experiment.split("/")[-1] if experiment else commit[:7],
        title="DVC experiment" if experiment else about.message.splitlines()[0],
        seconds=int(about.commit_time),
        params=params,
        metrics=flat(metrics, "/"),
        curves=read_curves(files) if files.exists(CURVES) else {},
    )


def read_curves(files: DVCFileSystem) -> dict[str, dict[int, float]]:
    """By name, `full/val_accuracy`, say, and epoch."""
    with files.open(CURVES, mode="r", encoding="utf-8") as file:
        table = read_table(file).drop(columns="phase").set_index("epoch")
    return {
        f"{variant}/{name}": {int(str(epoch)): float(value) for epoch, value in curve.items()}
        for variant, curves in table.groupby("variant", sort=False)
        for name, curve in curves.drop(columns="variant").items()
    }


def flat(tree: dict[str, Any], separator: str) -> dict[str, Any]:
    """Leaves by path.

    >>> flat({"full": {"accuracy": 0.9}, "freeze": "full"}, "/")
    {'full/accuracy': 0.9, 'freeze': 'full'}
    """
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            leaves |= {f"{key}{separator}{below}": leaf for below, leaf in flat(value, separator).items()}
        else:
            leaves[key] = value
    return leaves


def send_to_mlflow(revision: Revision) -> tuple[list[str], str]:
    """The files sent, and what shows the run.

    Everything bears the commit's time, so that MLflow takes a metric that is sent again for the one that it has.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    RUNS.mkdir(exist_ok=True)
    server = os.environ.get("MLFLOW_TRACKING_URI")
    client = MlflowClient(server or f"sqlite:///{RUNS}/mlflow.db")
    if experiment := client.get_experiment_by_name(NAME):
        experiment_id = experiment.experiment_id
    else:
        artifacts = None if server else (RUNS / "mlruns").resolve().as_uri()
        experiment_id = client.create_experiment(NAME, artifacts)

    time = 1000 * revision.seconds
    tags = {
        "commit": revision.commit,
        "variant": revision.params["freeze"],
        "mlflow.note.content": revision.title,
        "mlflow.source.git.commit": revision.commit,
        "mlflow.source.name": "dvc.yaml",
        "mlflow.source.type": "LOCAL",
    }
    found = client.search_runs([experiment_id], f"tags.commit = '{revision.commit}'")
    run_id = (found[0] if found else client.create_run(experiment_id, time, tags)).info.run_id
    # MLflow takes at most 100 params and 1,000 metrics at once: a section and a curve are shorter.
    for section, below in revision.params.items():
        client.log_batch(run_id, params=[Param(*leaf) for leaf in flat({section: below}, ".").items()])
    client.log_batch(run_id, [Metric(key, value, time, step=0) for key, value in revision.metrics.items()])
    for key, curve in revision.curves.items():
        client.log_batch(run_id, [Metric(key, value, time, step=epoch) for epoch, value in curve.items()])
    with tempfile.TemporaryDirectory() as folder:
        files = revision.fetch(Path(folder))
        client.log_artifacts(run_id, folder)
    client.update_run(run_id, "FINISHED", revision.name)
    page = (
        f"{server or 'http://127.0.0.1:5000'}/#/experiments/{experiment_id}/runs/{run_id}?workflowType=machine_learning"
    )
    return files, page if server else f"mlflow ui --backend-store-uri {client.tracking_uri}, then {page}"


def send_to_wandb(revision: Revision) -> tuple[list[str], str]:
    """The files sent, and what uploads the run.

    The commit is the run's id, by which W&B knows a run that is uploaded again.
    """
    import wandb

    RUNS.mkdir(exist_ok=True)
    for earlier in RUNS.glob(f"wandb/*run-*-{revision.commit}"):
        shutil.rmtree(earlier)
    mode: Any = os.environ.get("WANDB_MODE", "offline")  # wandb itself refuses another word
    with wandb.init(
        project=NAME,
        id=revision.commit,
        name=revision.name,
        notes=revision.title,
        tags=[revision.params["freeze"]],
        config=revision.params,
        dir=RUNS,
        mode=mode,
        settings=wandb.Settings(git_commit=revision.commit, console="off", x_disable_stats=True, quiet=True),
    ) as run:
        for epoch in sorted({epoch for curve in revision.curves.values() for epoch in curve}):
            run.log({key: curve[epoch] for key, curve in revision.curves.items() if epoch in curve}, step=epoch)
        folder = Path(run.dir)
        files = revision.fetch(folder)
        run.log({path.removesuffix(".png"): wandb.Image(str(folder / path)) for path in files if path.endswith(".png")})
        run.summary.update(revision.metrics)
        for path in files:
            run.save(folder / path, base_path=folder, policy="now")
    return files, f"wandb sync {folder.parent}"


SENDERS = {"mlflow": send_to_mlflow, "wandb": send_to_wandb}


if __name__ == "__main__":
    main()
