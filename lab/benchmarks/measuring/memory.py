"""The memory that a process takes for itself, without the pages of mapped files, which the kernel can take back."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STATUS = Path("/proc/self/status")
EVERY = 0.02  # seconds


class Peak:
    """`own`: bytes at the highest while watched; None where there is no /proc."""

    own: int | None = None


@contextmanager
def watched() -> Iterator[Peak]:
    """Look at the memory every EVERY seconds until the block ends."""
    peak, done = Peak(), threading.Event()

    def look() -> None:
        while not done.wait(EVERY):
            peak.own = max(peak.own or 0, anonymous())

    watcher = threading.Thread(target=look, daemon=True)
    if STATUS.exists():
        peak.own = anonymous()
        watcher.start()
    try:
        yield peak
    finally:
        done.set()
        if watcher.is_alive():
            watcher.join()


def anonymous() -> int:
    """Bytes of this process that no file backs."""
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) * 1024
