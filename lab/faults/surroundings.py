"""A full disk, files that may not be read or written, a clock that was set back, a cache that two clones share."""

import os
import signal
import subprocess
import time
from pathlib import Path

from lab.faults.study import LAST, Outcome, Repro, Study, contents, damaged, start

ROOM = 40 << 20  # bytes beside the repository that the small disk has at first
YEAR = 365 * 86400  # seconds
READ_ONLY, UNREADABLE = 0o555, 0o000
FORBIDDEN = {  # in the order in which a run comes to need them
    ".": READ_ONLY,
    "params.yaml": UNREADABLE,
    "dvc.yaml": UNREADABLE,
    ".cache": READ_ONLY,
    "data": READ_ONLY,
    ".dvc/cache": READ_ONLY,
    "models": READ_ONLY,
    "data/subset": UNREADABLE,
    "data/features": UNREADABLE,
    "results": READ_ONLY,
    "plots": READ_ONLY,
    "metrics": READ_ONLY,
}
# Root may do everything, but for a root without these capabilities. Anybody else is hindered as it is.
MERE_MORTAL = () if os.getuid() else ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")


def full_disk(study: Study, folder: Path, times: int) -> Outcome:
    """The study on a disk that is too small, and grows a little each time."""
    outcome, project = Outcome(), folder / "project"
    project.mkdir()
    size = ROOM + sum(path.stat().st_size for path in study.base.rglob("*") if path.is_file())
    if os.getuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", project]).returncode:
        outcome.counts["left out: a small disk could not be mounted, which takes root"] = 1
        return outcome
    try:
        study.copy(project)
        while _told(outcome, "No space left on device", *start(project).end()):
            size += size // 4  # DVC leaves what it could not finish, and needs the same again
            subprocess.run(["mount", "-o", f"remount,size={size}", project], check=True)
        study.finish(project, outcome)
    finally:
        subprocess.run(["umount", project], check=True)
    return outcome


def forbidden(study: Study, folder: Path, times: int) -> Outcome:
    """Each of FORBIDDEN in turn, put right afterwards."""
    outcome, project = Outcome(), study.copy(folder / "project")
    for name, mode in FORBIDDEN.items():
        path = project / name
        if mode == READ_ONLY:
            path.mkdir(parents=True, exist_ok=True)
        usual = path.stat().st_mode
        path.chmod(mode)
        status, printed = start(project, *MERE_MORTAL).end()
        path.chmod(usual)
        if not _told(outcome, "Permission denied", status, printed):
            outcome.wrong.append(f"{name} forbidden: status {status}, {printed[-LAST:]}")
    study.finish(project, outcome)
    return outcome


def _told(outcome: Outcome, words: str, status: int, printed: str) -> bool:
    """Whether the run failed and said why."""
    told = bool(status) and words in printed
    outcome.tries += told
    outcome.counts[f"ended with {words!r}"] += told
    return told


def clock_moved(study: Study, folder: Path, times: int) -> Outcome:
    """The times of all files moved, in the middle of a study and after it."""
    outcome, project = Outcome(), study.copy(folder / "project")
    _kill_in_training(start(project))
    _move(project, YEAR)
    study.finish(project, outcome)
    for seconds in (YEAR, -3 * YEAR, -time.time()):
        _move(project, seconds)
        _, printed = start(project).end()
        outcome.tries += 1
        if "Running stage" in printed or contents(project) != study.reference:
            outcome.wrong.append(f"moved by {seconds:.0f} s: {printed[-LAST:]}")
        else:
            outcome.counts["nothing ran again"] += 1
    return outcome


def _move(project: Path, seconds: float) -> None:
    for path in project.rglob("*"):
        if path.is_file() and not path.is_symlink():
            moment = max(0, path.stat().st_mtime + seconds)
            os.utime(path, (moment, moment))


def shared_cache(study: Study, folder: Path, times: int) -> Outcome:
    """Two clones at work at the same time on one cache; the second is killed on the way, and begins again."""
    outcome = Outcome(tries=2)
    first, second = (study.copy(folder / name) for name in ("first", "second"))
    for project in (first, second):
        (project / ".dvc/config.local").write_text(f"[cache]\n    dir = {folder / 'cache'}\n")
    run = start(first)
    _kill_in_training(start(second))
    study.finish(second, outcome)
    status, printed = run.end()
    if status:
        outcome.wrong.append(printed[-LAST:])
    study.finish(first, outcome)
    outcome.wrong.extend(f"{path} is damaged" for path in damaged(folder / "cache"))
    return outcome


def _kill_in_training(run: Repro) -> None:
    while "Running stage 'train_" not in run.log.read_text() and run.process.poll() is None:
        time.sleep(0.1)
    time.sleep(4)
    os.killpg(run.process.pid, signal.SIGKILL)
    run.process.wait()
