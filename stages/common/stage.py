"""The frame around every stage script: alone on its outputs, and one clear line when it cannot go on."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from stages.common.allocator import keep_freed_memory
from stages.common.params import Refusal, read_params


class Ended(BaseException):
    """The user or the system asked the script to end."""


def main(run: Callable[..., None], *args: str) -> None:
    """Call `run(params, root, *args)` on the project in the working directory.

    Exits with one line: with status 1 on a Refusal or an operating-system fault (a full disk, no permission), and with
    128 and the signal's number on SIGINT and SIGTERM. Any other error is a bug and keeps its traceback.
    """
    root, name = Path(), "-".join([Path(sys.argv[0]).stem, *args])
    keep_freed_memory()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    try:
        params = read_params(root / "params.yaml")
        rank = os.environ.get("RANK", "0")  # of the processes that torchrun started, all of them at this stage
        with only_one(root, name if rank == "0" else f"{name}-{rank}"):
            run(params, root, *args)
    except (Refusal, OSError) as fault:
        sys.exit(f"{name}: {fault}")
    except Ended as ended:
        (number,) = ended.args
        print(f"{name}: ended by {signal.Signals(number).name}; the next run does what is missing", file=sys.stderr)
        sys.exit(128 + number)


def _end(number: int, _frame: object) -> None:
    raise Ended(number)


@contextmanager
def only_one(root: Path, name: str) -> Iterator[None]:
    """Hold the lock of this name: two writers would spoil each other's outputs. The kernel frees it with its holder.

    Ending `dvc` leaves the script that it started at work, and a second `dvc repro` would start another.
    Raises Refusal, naming the process that holds the lock.
    """
    folder = root / ".cache/locks"
    folder.mkdir(parents=True, exist_ok=True)
    holder = folder / f"{name}.pid"
    lock = FileLock(folder / f"{name}.lock")
    try:
        held = lock.acquire(timeout=0)
    except Timeout:
        pid = holder.read_text() if holder.exists() else "unknown"
        raise Refusal(f"process {pid} is at it already: wait for it, or end it (kill {pid})") from None
    with held:
        holder.write_text(str(os.getpid()))
        try:
            yield
        finally:
            holder.unlink()
