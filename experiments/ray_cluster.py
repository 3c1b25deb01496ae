"""Experiments as Ray tasks, on this machine or on a cluster. Ray schedules them, and starts one anew whose worker died.

Each runs in a clone of the git remote `origin`, and is pushed there and to DVC's default remote. So every machine needs
access to both, and an environment that holds requirements.txt and requirements/ray.txt.
"""

import logging
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from experiments import ray_task
from study.pipeline.params import Refusal

RETRIES = 3  # of an experiment whose worker or machine died


class RayCluster:
    """Where a queue's experiments run. Closing it ends those that are still running."""

    def __init__(self, root: Path, address: str | None = None) -> None:
        """address: as `ray.init` takes it; None is the cluster that runs here, or else this machine alone.

        Raises Refusal when other machines could not see what this one does, or when no cluster answers.
        """
        self.root = root
        self.url, self.commit = pushed(root)
        self.tasks: dict[str, Any] = {}
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as fault:
            raise Refusal(f"no Ray cluster at {address}: {str(fault).splitlines()[0]}") from None
        ray.cloudpickle.register_pickle_by_value(ray_task)

    def close(self) -> None:
        ray.shutdown()

    def collect(self, names: Iterable[str]) -> None:
        """Bring here those of the experiments that have been pushed. What they measured stays in DVC's remote."""
        listed = git(self.root, "ls-remote", "--quiet", "origin", "refs/exps/*").split()
        there = {reference.rsplit("/", 1)[-1] for reference in listed if reference.startswith("refs/exps/")}
        if found := sorted(there & set(names)):
            command = ["dvc", "exp", "pull", "--quiet", "--no-cache", "origin", *found]
            subprocess.run(command, cwd=self.root, check=True)

    def start(self, name: str, settings: list[str], targets: list[str], cpus: int, gpus: int) -> None:
        """Queue the experiment for a machine with so many processors and GPUs free."""
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        fitting = any(machine.get("CPU", 0) >= cpus and machine.get("GPU", 0) >= gpus for machine in machines)
        if not fitting and not self.tasks:
            print(f"waiting for a machine with {cpus} CPUs and {gpus} GPUs to join the Ray cluster", flush=True)
        run = ray.remote(ray_task.run_in_clone).options(
            name=name, num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES, scheduling_strategy="SPREAD"
        )
        self.tasks[name] = run.remote(self.url, self.commit, name, settings, targets)

    def wait(self, name: str) -> str:
        """Until the experiment has ended; brings it here if it was pushed. Returns what it printed, or Ray's error."""
        try:
            printed = str(ray.get(self.tasks.pop(name)))
        except RayError as fault:
            return str(fault)
        self.collect([name])
        return printed


def pushed(root: Path) -> tuple[str, str]:
    """The URL of `origin` and this commit. Raises Refusal when a clone of it elsewhere would not be this project."""
    try:
        url = git(root, "remote", "get-url", "origin")
    except subprocess.CalledProcessError:
        raise Refusal("the machines of a Ray cluster clone the git remote `origin`: add it, and push") from None
    if not subprocess.check_output(["dvc", "config", "core.remote"], cwd=root, text=True).strip():
        raise Refusal("the machines of a Ray cluster share a DVC remote: dvc remote add -d store PLACE, and commit")
    if git(root, "status", "--porcelain", "--untracked-files=no"):
        raise Refusal("the machines of a Ray cluster take the last commit: commit your changes, and push")
    git(root, "fetch", "--quiet", "origin")
    if not git(root, "branch", "--remotes", "--contains", "HEAD"):
        raise Refusal("the machines of a Ray cluster clone the git remote `origin`, which lacks this commit: git push")
    folder = root / url
    return str(folder.resolve()) if folder.exists() else url, git(root, "rev-parse", "HEAD")


def git(root: Path, *arguments: str) -> str:
    return subprocess.check_output(["git", *arguments], cwd=root, text=True, stderr=subprocess.DEVNULL).strip()
