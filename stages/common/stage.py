"""The frame around every stage script: one clear line when something is refused."""

import sys
from collections.abc import Callable
from pathlib import Path

from stages.common.params import Refusal, read_params


def main(run: Callable[..., None], *args: str) -> None:
    """Call `run(params, root, *args)` on the project in the working directory.

    Exits with status 1 and one line on a Refusal or an operating-system fault (a full disk, no permission); any
    other error is a bug and keeps its traceback.
    """
    root = Path()
    try:
        run(read_params(root / "params.yaml"), root, *args)
    except (Refusal, OSError) as fault:
        sys.exit(f"{Path(sys.argv[0]).stem}: {fault}")
