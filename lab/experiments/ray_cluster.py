"""Experiments as Ray tasks, on this machine or on a cluster. Ray schedules them, and starts one anew whose worker died.

Each runs in a clone of the git remote `origin`, and is pushed there and to DVC's default remote. So every machine needs
access to both, and an environment that holds requirements.txt and requirements/ray.txt.
"""

import logging
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from lab.experiments import ray_task
from lab.experiments.runner import RESULTS
from study.pipeline.params import Refusal

TIMEOUT = 10  # seconds
RETRIES = 3  # of an experiment whose worker or machine died


class RayCluster:
    """Where a queue's experiments run. Closing it ends those that are still running."""

    def __init__(self, root: Path, address: str | None = None) -> None:
        """address: as `ray.init` takes it; None is the cluster that runs here, or else this machine alone.

        Raises Refusal when no cluster answers.
        """
        self.root = root
        self.url = self.commit = ""
        self.tasks: dict[str, Any] = {}
        ours = signal.getsignal(signal.SIGTERM)
        try:
            if address and ":" in address and "://" not in address:
                host, port = address.rsplit(":", 1)
                socket.create_connection((host, int(port)), TIMEOUT).close()  # Ray itself tries for minutes
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, ImportError, ValueError, RuntimeError) as fault:
            raise Refusal(f"no Ray cluster at {address}: {str(fault).splitlines()[0]}") from None
        signal.signal(signal.SIGTERM, ours)  # Ray has taken it
        ray.cloudpickle.register_pickle_by_value(ray_task)

    def close(self) -> None:
        ray.shutdown()

    def begin(self, names: Iterable[str]) -> None:
        """Take the commit that the experiments clone, and bring here those that have been pushed.

        Raises Refusal when the commit is not all that is here, or not pushed.
        """
        self.url, self.commit = pushed(self.root)
        self.collect(names)

    def collect(self, names: Iterable[str]) -> None:
        """Bring here those of the experiments that have been pushed. What they measured stays in DVC's remote.

        Raises Refusal when `origin` does not answer.
        """
        listed = git(self.root, "ls-remote", "--quiet", "origin", "refs/exps/*").split()
        there = {reference.rsplit("/", 1)[-1]: reference for reference in listed if reference.startswith("refs/exps/")}
        if found := [f"+{there[name]}:{there[name]}" for name in sorted(there.keys() & set(names))]:
            git(self.root, "fetch", "--quiet", "origin", *found)

    def start(self, name: str, changes: list[str], targets: list[str], cpus: int, gpus: int) -> None:
        """Queue the experiment for a machine with so many processors and GPUs free."""
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        fitting = any(machine.get("CPU", 0) >= cpus and machine.get("GPU", 0) >= gpus for machine in machines)
        if not fitting and not self.tasks:
            print(f"waiting for a machine with {cpus} CPUs and {gpus} GPUs to join the Ray cluster", flush=True)
        run = ray.remote(ray_task.run_in_clone).options(
            name=name, num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES, scheduling_strategy="SPREAD"
        )
        self.tasks[name] = run.remote(self.url, self.commit, name, changes, targets, gpus)

    def wait(self, name: str) -> str:
        """Until the experiment has ended; brings it here if it was pushed. Returns what it printed, or what failed."""
        try:
            printed = str(self.tasks.pop(name).future().result())  # unlike ray.get, ended by any signal
            self.collect([name])
        except (RayError, Refusal) as fault:
            return str(fault)
        return printed


def pushed(root: Path) -> tuple[str, str]:
    """The URL of `origin` and this commit. Raises Refusal when a clone of it elsewhere would not be this project."""
    if "origin" not in git(root, "remote").split():
        raise Refusal("the machines of a Ray cluster clone the git remote `origin`: add it, and push")
    command = [sys.executable, "-m", "dvc", "config", "--project", "core.remote"]
    if not subprocess.run(command, cwd=root, capture_output=True, text=True).stdout.strip():
        raise Refusal("the machines of a Ray cluster share a DVC remote: dvc remote add -d store PLACE, and commit")
    changed = git(
        root, "status", "--porcelain", "--untracked-files=no", "--", ".", f":(exclude){RESULTS}"
    )  # a queue's own
    if changed or git(root, "ls-files", "--others", "--exclude-standard", "--", "study", "stages"):
        raise Refusal("the machines of a Ray cluster take the last commit: commit your changes, and push")
    git(root, "fetch", "--quiet", "--prune", "origin")
    if not git(root, "branch", "--remotes", "--list", "origin/*", "--contains", "HEAD"):
        raise Refusal("the machines of a Ray cluster clone the git remote `origin`, which lacks this commit: git push")
    url = git(root, "remote", "get-url", "origin")
    folder = root / url
    return str(folder.resolve()) if folder.exists() else url, git(root, "rev-parse", "HEAD")


def git(root: Path, *arguments: str) -> str:
    """What it prints. Raises Refusal with git's last words."""
    result = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    if result.returncode:
        raise Refusal(f"git {arguments[0]}: {(result.stderr.strip().splitlines() or ['failed'])[-1]}")
    return result.stdout.strip()
