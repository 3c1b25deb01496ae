"""The frame around every stage script: one run at a time, and a one-line message when it cannot go on."""

import ctypes
import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from study.pipeline.params import Refusal, read_params

M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1  # from glibc's malloc.h
LARGEST = 2**30  # bytes; freed blocks up to this size are reused
# What the machine refuses and its user can mend: full disk, quota, no permission, read-only, name too long.
REFUSED_BY_THE_SYSTEM = {"ENOSPC", "EDQUOT", "EACCES", "EPERM", "EROFS", "ENAMETOOLONG"}


class Ended(BaseException):
    """The user or the system asked the script to end."""


def main(run: Callable[..., None], *args: str) -> None:
    """Call `run(params, root, *args)` on the project in the working directory.

    Exits with a one-line message: status 1 on a Refusal or where the operating system refuses (full disk, no
    permission), status 128 plus the signal's number on SIGINT and SIGTERM. Any other error is a bug and keeps its
    traceback.
    """
    root, name = Path(), "-".join([Path(sys.argv[0]).stem, *args])
    keep_freed_memory()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    try:
        params = read_params(root / "params.yaml")
        rank = os.environ.get("RANK", "0")  # set by torchrun, whose processes all run this stage
        with only_one(root, name if rank == "0" else f"{name}-{rank}"):
            run(params, root, *args)
    except Refusal as fault:
        sys.exit(f"{name}: {fault}")
    except OSError as fault:
        if not refused_by_the_system(fault):
            raise
        sys.exit(f"{name}: {fault}")
    except Ended as ended:
        (number,) = ended.args
        print(f"{name}: ended by {signal.Signals(number).name}; the next run does what is missing", file=sys.stderr)
        sys.exit(128 + number)


def refused_by_the_system(fault: OSError) -> bool:
    """Whether the user can mend it. NumPy's error for a full disk has no number: "20 requested and 7 written"."""
    if fault.errno is None:
        return "requested and" in str(fault)
    return errno.errorcode.get(fault.errno) in REFUSED_BY_THE_SYSTEM


def _end(number: int, _frame: object) -> None:
    raise Ended(number)


@contextmanager
def only_one(root: Path, name: str) -> Iterator[None]:
    """Hold the lock of this name, so that two runs cannot overwrite each other's outputs.

    Killing `dvc` leaves its stage script running, and a second `dvc repro` would start another one. The kernel releases
    the lock when its holder ends. Raises Refusal, naming the process that holds it.
    """
    folder = root / ".cache/locks"
    folder.mkdir(parents=True, exist_ok=True)
    holder = folder / f"{name}.pid"
    lock = FileLock(folder / f"{name}.lock")
    try:
        held = lock.acquire(timeout=0)
    except Timeout:
        pid = holder.read_text() if holder.exists() else "unknown"
        raise Refusal(f"another run (process {pid}) holds this stage: wait for it, or end it (kill {pid})") from None
    with held:
        holder.write_text(str(os.getpid()))
        try:
            yield
        finally:
            holder.unlink()


def keep_freed_memory() -> None:
    """Reuse freed blocks of up to LARGEST bytes instead of returning them to the kernel. Only glibc needs this.

    A network's activations take tens of megabytes, freed and allocated again in every batch. By default glibc maps each
    block anew, and the kernel clears it page by page.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST)
        libc.mallopt(M_TRIM_THRESHOLD, LARGEST)
