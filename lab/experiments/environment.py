"""What `dvc exp run --temp`, which works in another folder, is started with."""

import os
import sys
from pathlib import Path

from dvc.repo import Repo
from dvc.scm import SCMError

from study.pipeline.params import Refusal
from study.sources.cifar10 import CIFAR10


def experiment_environment(root: Path) -> dict[str, str]:
    """The environment, with this Python first on the path and CIFAR10_DIR as good in another folder."""
    environment = os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    folder = Path(environment.get("CIFAR10_DIR") or CIFAR10.cache(root))
    if environment.get("CIFAR10_DIR") or (folder / CIFAR10.published.filename).exists():
        environment["CIFAR10_DIR"] = str(folder.resolve())
    return environment


def require_ascii(root: Path) -> None:
    """Raises Refusal where DVC 3.67 could not begin: it writes ASCII when it tells the other folder of this one.

    It tells where its cache is, and the repository's settings of git. A folder without git is refused too.
    """
    try:
        with Repo(root) as repo:
            cache = str(repo.cache.local_cache_dir)
    except SCMError as fault:
        raise Refusal(f"{fault}: get the project with `git clone`") from None
    if not cache.isascii():
        raise Refusal(
            f"DVC keeps its cache in {cache}, and runs experiments only where that path is plain ASCII: move the "
            "project, or name another folder, `dvc cache dir --local FOLDER`"
        )
    settings = root / ".git/config"
    if settings.exists() and not settings.read_bytes().isascii():  # in a worktree .git is a file
        raise Refusal(f"DVC runs experiments only where {settings} is plain ASCII: change what is not")
