"""Scripts, dvc and both at once, killed or ended at random moments; and a second run beside the first."""

import os
import random
import shutil
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import sleep

from lab.faults.study import LAST, REFUSED, Outcome, Repro, Study, mended, start

BLOCKED = "it is being blocked by"  # dvc's word to a second one
LAST_WORDS = "the next run does what is missing"  # of a script that a signal ends

Strike = Callable[[Repro, Path], str | None]  # on a run, in its folder; what a second run printed


def disturb(strike: Strike, study: Study, folder: Path, times: int) -> Outcome:
    """Run the study again and again, each time disturbed at a random moment, and then to its end.

    The moments are such that the last of `times` disturbances comes near the study's end.
    """
    outcome, rng = Outcome(), random.Random(0)
    while outcome.tries < times:
        project, status = study.copy(folder / "project"), 1
        while status and outcome.tries < times:
            run, beside = start(project), ""
            with suppress(subprocess.TimeoutExpired):
                run.process.wait(rng.uniform(0, 2 * study.seconds / times))
            if struck := run.process.poll() is None:
                beside = strike(run, project) or ""
                outcome.tries += 1
            status, printed = run.end()
            outcome.counts["ended with a line of the script's"] += LAST_WORDS in printed
            outcome.counts["with a traceback"] += "Traceback" in printed
            outcome.counts["trainings carried on"] += printed.count("carrying on after epoch")
            outcome.counts["second runs refused"] += REFUSED in beside or BLOCKED in beside
            if status and not mended(project, printed, outcome) and not struck:
                outcome.wrong.append(printed[-LAST:])
                break
        study.finish(project, outcome)
        shutil.rmtree(project)
    return outcome


def kill_script(run: Repro, project: Path) -> None:
    """Whichever is at work, or the next."""
    while run.process.poll() is None:
        for lock in project.glob(".cache/locks/*.pid"):
            with suppress(FileNotFoundError, ValueError, ProcessLookupError):
                script = int(lock.read_text())
                if os.getpgid(script) == run.process.pid:  # else it was killed before, and its number is another's
                    os.kill(script, signal.SIGKILL)
                    return
        sleep(0.01)


def kill_dvc(run: Repro, project: Path) -> None:
    run.process.kill()


def kill_group(run: Repro, project: Path) -> None:
    os.killpg(run.process.pid, signal.SIGKILL)


def interrupt_group(run: Repro, project: Path) -> None:
    os.killpg(run.process.pid, signal.SIGINT)
    sleep(1)  # for a script's last words, after dvc's


def end_group(run: Repro, project: Path) -> None:
    os.killpg(run.process.pid, signal.SIGTERM)
    sleep(1)


def run_beside(run: Repro, project: Path) -> str:
    _, printed = start(project).end()
    return printed
