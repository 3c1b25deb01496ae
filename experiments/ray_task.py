"""What a Ray task does for one experiment: clone, run, push. Ray sends it by value, so it imports nothing of ours."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path


def run_in_clone(url: str, commit: str, name: str, settings: Sequence[str], targets: Sequence[str]) -> str:
    """Run an experiment in a fresh clone, then push it to where the clone came from and to DVC's default remote.

    url: of the git repository; settings: as `dvc exp run -S` takes them; targets: stages. Returns what was printed, up
    to a command that failed.
    """
    printed = ""
    environment = os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "GIT_TERMINAL_PROMPT": "0",
    }
    with tempfile.TemporaryDirectory(prefix="experiment-", ignore_cleanup_errors=True) as folder:
        changes = [part for setting in settings for part in ("--set-param", setting)]
        for command in (
            ["git", "clone", "--quiet", "--no-checkout", url, folder],
            ["git", "checkout", "--quiet", "--detach", commit],
            # --pull: what another experiment has pushed is not computed again
            ["dvc", "exp", "run", "--pull", "--name", name, *changes, *targets],
            ["dvc", "exp", "push", "--force", "--run-cache", "origin", name],
        ):
            result = subprocess.run(
                command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            printed += f"$ {' '.join(command)}\n{result.stdout}"
            if result.returncode:
                break
    return printed
