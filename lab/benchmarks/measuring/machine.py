"""What the measurements were made on: it stands in every row, so that no machine takes another's for its own."""

import platform
import re
from importlib.metadata import version
from pathlib import Path

from study.networks.device import has_native_bf16
from study.training.outputs import hardware


def describe() -> str:
    """Processor and threads, memory, precision, versions, on one line."""
    precision = "bfloat16" if has_native_bf16() else "no native bfloat16"
    parts = [hardware(), *generation(_read("/proc/cpuinfo")), *_memory(), precision]
    return f"{', '.join(parts)}; torch {version('torch')}, Python {platform.python_version()}"


def generation(cpuinfo: str) -> list[str]:
    """What tells apart processors that share a name, as those of a cloud do. [] where the text does not say.

    >>> generation("processor : 0\\ncpu family : 26\\nmodel : 2\\nmodel name : AMD EPYC")
    ['family 26 model 2']
    """
    found = re.search(r"^cpu family\s*: (\d+)\nmodel\s*: (\d+)$", cpuinfo, re.MULTILINE)
    return [f"family {found[1]} model {found[2]}"] if found else []


def _memory() -> list[str]:
    found = re.match(r"MemTotal:\s*(\d+)", _read("/proc/meminfo"))
    return [f"{int(found[1]) / 2**20:.0f} GiB"] if found else []


def _read(path: str) -> str:
    """Nothing where there is no such file: only Linux has them."""
    try:
        return Path(path).read_text()
    except OSError:
        return ""
