"""Running a study's queue: each experiment in a temporary copy of the project, named by what decides its results."""

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
from dvc.api import DVCFileSystem
from dvc.dependency import ParamsDependency
from dvc.repo import Repo

from lab.experiments.environment import experiment_environment, require_ascii
from lab.experiments.figures import FIGURES
from lab.experiments.seeds_table import seeds_table
from lab.experiments.studies import Experiment, Settings, Study
from lab.experiments.systems_table import systems_table
from study.pipeline.files import read_table, write_table
from study.pipeline.params import Refusal, read_params, read_yaml
from study.pipeline.stage import Ended
from study.reporting.figures import save_png
from study.reporting.summary import headlines

RESULTS = Path("lab/experiments/results")
LOGS = Path("runs/experiments")


class Cluster(Protocol):
    """Runs experiments elsewhere."""

    def begin(self, names: Iterable[str]) -> None: ...
    def start(self, name: str, changes: list[str], targets: list[str], cpus: int, gpus: int) -> None: ...
    def wait(self, name: str) -> str: ...


def run_study(root: Path, name: str, study: Study, cluster: Cluster | None = None) -> list[str]:
    """Run what has not finished yet, then write the table and the figure. Returns the experiments that failed.

    Here one after another, or all at once on the cluster. Raises Refusal, before the first, where DVC could not run any
    here; after the last, when what a finished one measured has been dropped from DVC's cache.
    """
    if not cluster:
        require_ascii(root)
    queue = study.experiments(name)
    names = {experiment.label: identity(root, experiment, study.targets(experiment.setting)) for experiment in queue}
    if cluster:
        cluster.begin(names.values())
    done = finished(root)
    missing = [experiment for experiment in queue if names[experiment.label] not in done]
    waiting = len(missing)
    print(f"{name}: {len(queue)} experiments, {len(queue) - waiting} of them finished before", flush=True)
    if cluster:
        for experiment in missing:
            asked, targets = names[experiment.label], study.targets(experiment.setting)
            cluster.start(asked, as_options(experiment.changes), targets, study.cpus, study.gpus)
    start, ran = time.monotonic(), 0
    rows: list[dict[str, Any]] = []
    failed: list[str] = []
    lost: list[str] = []
    for place, experiment in enumerate(queue, 1):
        targets, asked = study.targets(experiment.setting), names[experiment.label]
        if not cluster:
            asked = identity(root, experiment, targets)  # anew: the code may have been changed since the queue began
        if asked not in done:
            left = ""
            if ran and not cluster:
                left = f", about {(time.monotonic() - start) / ran * (waiting - ran) / 60:.0f} min left"
            print(f"{place:>2} of {len(queue)}: {asked}{left} ... ", end="", flush=True)
            began = time.monotonic()
            log = root / LOGS / f"{asked}.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            if cluster:
                log.write_text(cluster.wait(asked), encoding="utf-8")
            else:
                run_experiment(root, log, asked, as_options(experiment.changes), targets)
            ran += 1
            done = finished(root)
            if asked not in done:
                print(f"failed: {last_words(log)} (all of it in {log})", flush=True)
                failed.append(asked)
                continue
            print("done" if cluster else f"{time.monotonic() - began:.0f} s", flush=True)
        params = changed(read_params(root / "params.yaml"), experiment.changes)
        facts = {"setting": experiment.setting, "seed": experiment.seed, "train_images": params["data"]["train"]}
        try:
            read = measured_on_val if study.judged_on == "val" else measured
            rows += [facts | row for row in read(root, done[asked], study.variants_of(experiment.setting))]
        except FileNotFoundError:
            lost.append(asked)
    if lost:
        way_out = f"`dvc exp remove {' '.join(lost)}`, then run this again"
        if cluster:
            way_out = f"`dvc exp remove --git-remote origin {' '.join(lost)}` and {way_out}"
        raise Refusal(f"what {', '.join(lost)} measured is no longer in DVC's cache: {way_out}")
    if study.committed:
        rows += committed_rows(root, study)
    if rows:
        write_results(root, name, study, pd.DataFrame(rows))
    return failed


def write_results(root: Path, name: str, study: Study, table: pd.DataFrame) -> None:
    """The table as CSV and as a figure; of the systems also as a page, and of the data sizes what seeds change."""
    folder = root / RESULTS
    write_table(folder / f"{name}.csv", table)
    save_png(FIGURES[name](table), folder / f"{name}.png")
    if name == "systems":
        (folder / "systems.md").write_text(systems_table(table, study.commands()), encoding="utf-8")
    if name == "data_size":
        (folder / "data_size.md").write_text(f"{seeds_table(table)}\n", encoding="utf-8")
    print(f"{name}: {RESULTS}/{name}.csv and {name}.png", flush=True)


def finished(root: Path) -> dict[str, str]:
    """The commit of each finished experiment that DVC keeps, by name, whichever commit it started from."""
    lines = subprocess.check_output(
        ["git", "for-each-ref", "--format=%(objectname) %(refname:lstrip=4)", "refs/exps"], cwd=root, text=True
    ).splitlines()
    return {name: commit for commit, name in (line.split(" ", 1) for line in lines) if name}


def identity(root: Path, experiment: Experiment, targets: Iterable[str]) -> str:
    """The experiment's name: its label and a digest of all that decides what `targets` measure.

    That is the commands, code and parameters of these stages and of all before them, as dvc.yaml declares them.
    """
    with Repo(root) as repo:
        found = (repo.stage.collect(f"{root / 'dvc.yaml'}:{target}", with_deps=True) for target in targets)
        stages = {stage.name: stage for closure in found for stage in closure}
        made = [Path(out.def_path) for stage in stages.values() for out in stage.outs]
        stages.pop("check_params", None)  # what it reads is all of params.yaml; what it writes never differs
        commands = {name: stage.cmd for name, stage in stages.items()}
        keys: set[str] = set()
        sources: dict[str, str] = {}
        for dep in (dep for stage in stages.values() for dep in stage.deps):
            if isinstance(dep, ParamsDependency):
                keys.update(dep.params)
            elif dep.def_path not in sources and not any(Path(dep.def_path).is_relative_to(out) for out in made):
                sources[dep.def_path] = dep.get_hash().value
    asked = changed(read_params(root / "params.yaml"), experiment.changes)
    parts = [commands, sources, {key: value_at(asked, key) for key in keys}]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return f"{experiment.label}-{digest[:8]}"


def changed(params: dict[str, Any], changes: Settings) -> dict[str, Any]:
    """A copy of the parameters with these changes."""
    params = json.loads(json.dumps(params))
    for key, value in changes.items():
        *parents, leaf = key.split(".")
        block = params
        for parent in parents:
            block = block.setdefault(parent, {})
        block[leaf] = value
    return params


def value_at(params: Any, key: str) -> Any:
    for part in key.split("."):
        params = params.get(part, {})
    return params


def as_options(changes: Settings) -> list[str]:
    """As `dvc exp run` takes them."""
    return [part for key, value in changes.items() for part in ("--set-param", f"{key}={json.dumps(value)}")]


def run_experiment(root: Path, log: Path, name: str, changes: Iterable[str], targets: Iterable[str]) -> None:
    """One that fails, or is interrupted, leaves nothing but the stages that it finished. changes: options."""
    with log.open("w") as file:
        process = subprocess.Popen(
            ["dvc", "exp", "run", "--temp", "--name", name, *changes, *targets],
            cwd=root,
            env=experiment_environment(root.resolve()),
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.wait()
        except Ended:
            os.killpg(process.pid, signal.SIGINT)  # what DVC cleans up after, unlike SIGTERM
            process.wait()
            raise


def last_words(log: Path) -> str:
    """The last line that says why; after it, DVC says which stage failed."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith("ERROR: failed to reproduce")]
    return (said or ["it printed nothing"])[-1]


def measured_on_val(root: Path, commit: str, variants: Sequence[str]) -> list[dict[str, Any]]:
    """A row per variant, of its best epoch and its cost. Raises FileNotFoundError as `measured` does."""
    files = DVCFileSystem(str(root), rev=commit)
    features = json.loads(files.read_text("results/training/features.json"))
    rows = []
    for variant in variants:
        with files.open(f"results/training/{variant}/curve.csv", mode="r", encoding="utf-8") as file:
            curve = read_table(file)
        cost = json.loads(files.read_text(f"results/training/{variant}/cost.json"))
        best = curve[curve["phase"] == curve["phase"].iloc[-1]].nlargest(1, "val_accuracy", keep="last").iloc[0]
        rows.append(
            {
                "variant": variant,
                "val_accuracy": round(best["val_accuracy"], 4),
                "val_loss": round(best["val_loss"], 4),
                "train_loss": round(best["train_loss"], 4),
                "train_seconds": round(cost["train_seconds"] + cost["cached_features"] * features["seconds"], 1),
            }
        )
    return rows


def measured(root: Path, commit: str, variants: Sequence[str]) -> list[dict[str, Any]]:
    """A row per variant, of what the experiment with this commit measured.

    Raises FileNotFoundError when DVC's cache no longer holds it.
    """
    files = DVCFileSystem(str(root), rev=commit)

    def read_json(path: str) -> Any:
        return json.loads(files.read_text(f"results/{path}"))

    def read_conditions(variant: str) -> pd.DataFrame:
        with files.open(f"results/corruption/{variant}/conditions.csv", mode="r", encoding="utf-8") as file:
            return read_table(file)

    calibration = {variant: read_json(f"calibration/{variant}/metrics.json") for variant in variants}
    costs = {variant: read_json(f"training/{variant}/cost.json") for variant in variants}
    training = {"features": read_json("training/features.json"), **costs}
    corruption = pd.concat([read_conditions(variant) for variant in variants], ignore_index=True)
    return measured_rows(calibration, corruption, training)


def committed_rows(root: Path, study: Study) -> list[dict[str, Any]]:
    """A row per variant, of what the committed study measured under the corruptions that `study` has."""

    files = DVCFileSystem(str(root), rev="HEAD")  # an experiment leaves its own in the working tree

    def read_json(name: str) -> Any:
        return json.loads(files.read_text(f"metrics/{name}.json"))

    calibration = {variant: read_json("calibration")[variant] for variant in study.variants}
    with files.open("metrics/corruption.csv", mode="r", encoding="utf-8") as file:
        corruption = read_table(file)
    names = study.shared.get("corrupt_eval.corruptions", corruption["corruption"].unique())
    kept = corruption["corruption"].isin(names) & corruption["variant"].isin(study.variants)
    images = read_yaml(files.read_text("params.yaml"))["data"]["train"]
    facts = {"setting": study.committed, "seed": 0, "train_images": images}
    return [facts | row for row in measured_rows(calibration, corruption[kept], read_json("training"))]


def measured_rows(
    calibration: Mapping[str, Any], corruption: pd.DataFrame, training: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """A row per variant. corruption: `conditions.csv` of all of them; training: `cost.json` of each, and `features`."""
    rows = []
    for variant, summary in headlines(calibration, corruption, training).items():
        interval, null = calibration[variant]["intervals"]["accuracy"], calibration[variant]["after"]["null"]["ece"]
        figures = {
            "accuracy": summary["accuracy"],
            "accuracy_low": interval["low"],
            "accuracy_high": interval["high"],
            "ece_before": summary["ece_before"],
            "ece_after": summary["ece_after"],
            "ece_null_upper": null["upper"],
            "corrupted_accuracy": summary["corrupted_accuracy"],
            "corrupted_ece_after": summary["corrupted_ece_after"],
        }
        rows.append(
            {"variant": variant}
            | {name: round(value, 4) for name, value in figures.items()}
            | {"train_seconds": round(summary["train_seconds"], 1)}
        )
    return rows
