"""What a Ray task does for one experiment: clone, run, push. Ray sends it by value, so it imports nothing of ours."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

PAUSES = (0, 10, 60, 300)  # seconds before each try of a push


def run_in_clone(url: str, commit: str, name: str, changes: Sequence[str], targets: Sequence[str], gpus: int) -> str:
    """Run an experiment in a fresh clone; then push its data to DVC's default remote, and itself to `url`.

    url: of the git repository; changes: options of `dvc exp run`; targets: stages. Returns what was printed, up to a
    command that failed.
    """
    environment = os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "GIT_TERMINAL_PROMPT": "0",
    }
    if not gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ""  # Ray leaves all of them visible
    with tempfile.TemporaryDirectory(prefix="experiment-", ignore_cleanup_errors=True) as folder:
        steps: tuple[tuple[list[str], tuple[int, ...]], ...] = (
            (["git", "clone", "--quiet", "--no-checkout", url, folder], (0,)),
            (["git", "checkout", "--quiet", "--detach", commit], (0,)),
            # --pull: what another experiment has pushed is not computed again
            (["dvc", "exp", "run", "--pull", "--name", name, *changes, *targets], (0,)),
            (["dvc", "push", "--run-cache", "--with-deps", *targets], PAUSES),
            (["dvc", "exp", "push", "--force", "--no-cache", "origin", name], PAUSES),
        )
        printed = ""
        for command, pauses in steps:
            for pause in pauses:
                time.sleep(pause)
                result = subprocess.run(
                    command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
                )
                printed += f"$ {' '.join(command)}\n{result.stdout.decode(errors='replace')}"
                if result.returncode == 0:
                    break
            else:
                break
    return printed
