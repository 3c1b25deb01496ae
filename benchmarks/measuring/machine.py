"""What the measurements were made on: it stands in every row, so that no machine takes another's for its own."""

import platform
from importlib.metadata import version
from pathlib import Path

from study.networks.device import has_native_bf16
from study.training.outputs import hardware


def describe() -> str:
    """Processor and threads, memory, precision, versions, on one line."""
    precision = "bfloat16" if has_native_bf16() else "no native bfloat16"
    return f"{hardware()}, {_memory()}, {precision}; torch {version('torch')}, Python {platform.python_version()}"


def _memory() -> str:
    try:
        total = Path("/proc/meminfo").read_text().splitlines()[0].split()[1]
    except OSError:  # only Linux has the file
        return "memory unknown"
    return f"{int(total) / 2**20:.0f} GiB"
