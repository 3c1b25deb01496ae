"""What `dvc exp run --temp`, which works in another folder, is started with."""

import os
import sys
from pathlib import Path

from study.sources.cifar10 import CACHE, CIFAR10


def experiment_environment(root: Path) -> dict[str, str]:
    """The environment, with this Python first on the path and CIFAR10_DIR as good in another folder."""
    environment = os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    folder = Path(environment.get("CIFAR10_DIR") or root / CACHE)
    if environment.get("CIFAR10_DIR") or (folder / CIFAR10.filename).exists():
        environment["CIFAR10_DIR"] = str(folder.resolve())
    return environment
