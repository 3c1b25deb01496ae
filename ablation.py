"""The ablations, as queues of DVC experiments: `make ablation`, or `python ablation.py [STUDY ...]`.

Each experiment runs in a temporary copy of the project: the working tree keeps the committed study. It is named by its
setting, its seed and a digest of all that decides its results, and DVC keeps it when it has finished: a queue that was
stopped carries on where it was, and what another code or other settings measured is never taken for current. What
experiments share (the data, the frozen features) DVC's run cache computes once.
Writes ablation/{study}.csv and {study}.png, and systems.md; the log of each experiment is under runs/ablation.
"""

import csv
import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dvc.api import DVCFileSystem
from dvc.dependency import ParamsDependency
from dvc.repo import Repo

from quickstart import experiment_environment
from stages.common.ablation_figures import augmentation_figure, data_size_figure, systems_figure
from stages.common.figures import save_png
from stages.common.params import Refusal, read_params
from stages.common.stage import Ended, main
from stages.common.summary import summarise
from stages.common.systems_table import systems_table
from stages.common.tables import write_table
from stages.common.variants import VARIANTS

Settings = Mapping[str, Any]  # values by their place in params.yaml: {"train.full.augment.mixup": 0.2}


class Study(NamedTuple):
    """A queue: every setting with the seeds 0, 1, ... below its number of them."""

    variants: tuple[str, ...]
    shared: Settings
    settings: Mapping[str, tuple[int, Settings]]  # by name: the number of seeds, and what it changes besides `shared`
    own: Mapping[str, tuple[str, ...]] = {}  # the variants of a setting that has others
    published: tuple[str, ...] = ()  # stages that run besides, of the variant that is published

    def variants_of(self, setting: str) -> tuple[str, ...]:
        return self.own.get(setting, self.variants)

    def targets(self, setting: str) -> list[str]:
        variants = self.variants_of(setting)
        measured = [f"{stage}@{variant}" for variant in variants for stage in ("calibrate", "corrupt_eval")]
        return [*measured, *self.published]


class Experiment(NamedTuple):
    label: str
    setting: str
    seed: int
    changes: Settings


CORRUPTED = {  # one corruption of each of the benchmark's four kinds
    "corrupt_eval.corruptions": ["gaussian_noise", "motion_blur", "fog", "jpeg_compression"],
    "corrupt_eval.images": 300,
}


def augment(**changes: bool | float) -> tuple[int, Settings]:
    return 2, {f"train.full.augment.{name}": value for name, value in changes.items()}


def images(count: int, **epochs: int) -> tuple[int, Settings]:
    """The fewer images, the more epochs, so that the smallest sets are learned too."""
    return 1, {"data.train": count, "data.val": 1000} | {
        f"train.{block.replace('_', '.')}.epochs": number for block, number in epochs.items()
    }


def untrained(backbone: str, freeze: str, hidden: list[int], image_size: int, train: int) -> Settings:
    """A backbone from random weights: torchvision's are a download, which not every machine can make."""
    return {
        "freeze": freeze,
        "backbone.name": backbone,
        "backbone.weights": "none",
        "backbone.head.hidden": hidden,
        "data.train": train,
        "data.val": 1000,
        "train.common.image_size": image_size,
        "train.common.views": 2,
        "gradcam.layer": "layer2",
    }


STUDIES = {
    "augmentation": Study(
        ("full",),
        {
            **CORRUPTED,
            "data.train": 1000,
            "data.val": 1000,
            "train.common.views": 1,  # the head starts from the plain images
            "train.common.batch_size": 64,
            "train.common.probe.epochs": 30,
            "train.full.epochs": 10,
        },
        {
            "none": augment(crop_flip=False),
            "crop_flip": augment(crop_flip=True),
            "plus_randaugment": augment(crop_flip=True, randaugment=True),
            "plus_cutout": augment(crop_flip=True, cutout=True),
            "plus_mixup": augment(crop_flip=True, mixup=0.2),
            "plus_cutmix": augment(crop_flip=True, cutmix=1.0),
            "all": augment(crop_flip=True, randaugment=True, cutout=True, mixup=0.2, cutmix=1.0),
        },
    ),
    "data_size": Study(
        VARIANTS,
        CORRUPTED,
        {
            "1k": images(1000, common_probe=40, fc=100, layer4=20, full=16, scratch=35),
            "2k": images(2000, common_probe=30, fc=80, layer4=16, full=10, scratch=25),
            "5k": images(5000, common_probe=20, fc=60, layer4=12, full=6, scratch=16),
            "10k": images(10000, common_probe=10, fc=40, layer4=8, full=4, scratch=12),
            "45k": (1, {}),  # as committed: its trainings come from the run cache
        },
    ),
    "systems": Study(
        ("fc", "layer4"),
        {**CORRUPTED, "gradcam.faithfulness_images": 20},
        {
            "resnet18": (1, {}),
            "resnet50_native": (
                1,
                {**untrained("resnet50", "full", [128, 64], image_size=32, train=10000), "train.full.epochs": 10},
            ),
            "resnet50_upsampled": (1, untrained("resnet50", "layer4", [256], image_size=96, train=8000)),
            "mobilenet_v2": (1, untrained("mobilenet_v2", "layer4", [512], image_size=64, train=10000)),
            "mobilenet_v3_small": (1, untrained("mobilenet_v3_small", "layer4", [512], image_size=64, train=10000)),
        },
        own={"resnet18": VARIANTS, "resnet50_native": ("full",), "resnet50_upsampled": ("layer4",)},  # their sources'
        published=("gradcam", "export"),
    ),
}
FIGURES = {"augmentation": augmentation_figure, "data_size": data_size_figure, "systems": systems_figure}


def run(params: dict, root: Path, *names: str) -> None:
    """Raises Refusal, after all queues, when an experiment failed."""
    if unknown := set(names) - set(STUDIES):
        raise Refusal(f"there is no study {', '.join(sorted(unknown))}: there are {', '.join(STUDIES)}")
    failed = [experiment for name in names or STUDIES for experiment in run_study(root, name, STUDIES[name])]
    if failed:
        raise Refusal(f"{len(failed)} of the experiments failed, and are not in the tables: {', '.join(failed)}")


def run_study(root: Path, name: str, study: Study) -> list[str]:
    """Run what has not finished yet, then write the table and the figure. Returns the experiments that failed.

    Raises Refusal when what a finished one measured has been dropped from DVC's cache.
    """
    queue = experiments(name, study)
    done = finished(root)
    waiting = len({identity(root, experiment, study.targets(experiment.setting)) for experiment in queue} - set(done))
    print(f"{name}: {len(queue)} experiments, {len(queue) - waiting} of them finished before", flush=True)
    start, ran, rows, failed = time.monotonic(), 0, [], []
    for place, experiment in enumerate(queue, 1):
        targets = study.targets(experiment.setting)
        asked = identity(root, experiment, targets)  # anew: the code may have been changed since the queue began
        if asked not in done:
            left = f", about {(time.monotonic() - start) / ran * (waiting - ran) / 60:.0f} min left" if ran else ""
            print(f"{place:>2} of {len(queue)}: {asked}{left} ... ", end="", flush=True)
            began = time.monotonic()
            log = run_experiment(root, asked, experiment.changes, targets)
            ran += 1
            done = finished(root)
            if asked not in done:
                print(f"failed: {last_words(log)} (all of it in {log})", flush=True)
                failed.append(asked)
                continue
            print(f"{time.monotonic() - began:.0f} s", flush=True)
        params = changed(read_params(root / "params.yaml"), experiment.changes)
        facts = {"setting": experiment.setting, "seed": experiment.seed, "train_images": params["data"]["train"]}
        try:
            rows += [facts | row for row in measured(root, done[asked], study.variants_of(experiment.setting))]
        except FileNotFoundError:
            way_out = f"`dvc exp remove {asked}`, then run this again"
            raise Refusal(f"what {asked} measured is no longer in DVC's cache: {way_out}") from None
    if rows:
        write_table(root / f"ablation/{name}.csv", rows)
        save_png(FIGURES[name](rows), root / f"ablation/{name}.png")
        if name == "systems":
            text = systems_table(rows, {name: by_hand(changes) for name, (_, changes) in study.settings.items()})
            (root / "ablation/systems.md").write_text(text, encoding="utf-8")
        print(f"{name}: ablation/{name}.csv and {name}.png", flush=True)
    return failed


def experiments(name: str, study: Study) -> list[Experiment]:
    return [
        Experiment(
            f"{name}-{setting}-{seed}",
            setting,
            seed,
            {**study.shared, **changes, "data.seed": seed, "train.common.seed": seed, "train.scratch.seed": seed},
        )
        for setting, (seeds, changes) in study.settings.items()
        for seed in range(seeds)
    ]


def by_hand(changes: Settings) -> str:
    """The command for the whole study with these changes.

    >>> by_hand({"data.train": 8000, "backbone.head.hidden": [256]})
    "dvc exp run -S data.train=8000 -S 'backbone.head.hidden=[256]'"
    """
    settings = (shlex.quote(f"{key}={json.dumps(value)}".replace('"', "")) for key, value in changes.items())
    return " ".join(["dvc exp run", *(f"-S {setting}" for setting in settings)]) if changes else "dvc repro"


def finished(root: Path) -> dict[str, str]:
    """The commit of each finished experiment that DVC keeps, by name, whichever commit it started from."""
    lines = subprocess.check_output(
        ["git", "for-each-ref", "--format=%(objectname) %(refname:lstrip=4)", "refs/exps"], cwd=root, text=True
    ).splitlines()
    return {name: commit for commit, name in (line.split(" ", 1) for line in lines) if name}


def identity(root: Path, experiment: Experiment, targets: Iterable[str]) -> str:
    """The experiment's name: its label and a digest of all that decides what `targets` measure.

    That is the commands, source files and parameters of these stages and of all before them, as dvc.yaml declares them.
    """
    with Repo(root) as repo:
        found = (repo.stage.collect(f"{root / 'dvc.yaml'}:{target}", with_deps=True) for target in targets)
        stages = {stage.name: stage for closure in found for stage in closure}
        made = [Path(out.def_path) for stage in stages.values() for out in stage.outs]
        stages.pop("check_params", None)  # what it reads is all of params.yaml; what it writes never differs
        keys, sources = set(), {name: stage.cmd for name, stage in stages.items()}
        for dep in (dep for stage in stages.values() for dep in stage.deps):
            if isinstance(dep, ParamsDependency):
                keys.update(dep.params)
            elif not any(Path(dep.def_path).is_relative_to(out) for out in made):
                sources[dep.def_path] = dep.get_hash().value
    asked = changed(read_params(root / "params.yaml"), experiment.changes)
    parts = [sources, {key: value_at(asked, key) for key in keys}]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return f"{experiment.label}-{digest[:8]}"


def changed(params: dict, changes: Settings) -> dict:
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


def run_experiment(root: Path, name: str, changes: Settings, targets: Iterable[str]) -> Path:
    """Returns the log. An experiment that fails, or is interrupted, leaves nothing but the stages that it finished."""
    log = root / f"runs/ablation/{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = ["dvc", "exp", "run", "--temp", "--name", name]
    for key, value in changes.items():
        command += ["--set-param", f"{key}={json.dumps(value)}"]
    with log.open("w") as file:
        process = subprocess.Popen(
            [*command, *targets],
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
    return log


def last_words(log: Path) -> str:
    """The last line that says why; after it, DVC says which stage failed."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith("ERROR: failed to reproduce")]
    return (said or ["it left no word"])[-1]


def measured(root: Path, commit: str, variants: Iterable[str]) -> list[dict[str, Any]]:
    """A row per variant, of what the experiment with this commit measured."""
    files = DVCFileSystem(str(root), rev=commit)

    def read_json(name: str) -> Any:
        return json.loads(files.read_text(f"results/{name}.json"))

    calibration = {variant: read_json(f"calibration/{variant}") for variant in variants}
    training = {name: read_json(f"training/{name}") for name in ("features", *variants)}
    corruption = [
        row
        for variant in variants
        for row in csv.DictReader(files.read_text(f"results/corruption/{variant}.csv").splitlines())
    ]
    rows = []
    for variant, summary in summarise(calibration, corruption, training).items():
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


if __name__ == "__main__":
    main(run, *sys.argv[1:])
