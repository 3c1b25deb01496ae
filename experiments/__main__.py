"""The studies beside the committed one, as queues of DVC experiments: `python -m experiments [STUDY ...]`.

Or `make experiments`. Each experiment runs in a temporary copy of the project: the working tree keeps the committed
study. It is named by its setting, its seed and a digest of all that decides its results, and DVC keeps it when it has
finished: a queue that was stopped carries on where it was, and what other code or other settings measured is never
taken for current. What experiments share (the data, the frozen features) DVC's run cache computes once.
Writes experiments/results/{study}.csv and {study}.png, systems.md and data_size.md; the log of each experiment is under
runs/experiments.
"""

import sys
from pathlib import Path
from typing import Any

from experiments.runner import run_study
from experiments.studies import STUDIES
from study.pipeline.params import Refusal
from study.pipeline.stage import main


def run(params: dict[str, Any], root: Path, *names: str) -> None:
    """Raises Refusal, after all queues, when an experiment failed."""
    if unknown := set(names) - set(STUDIES):
        raise Refusal(f"there is no study {', '.join(sorted(unknown))}: there are {', '.join(STUDIES)}")
    failed = [experiment for name in names or STUDIES for experiment in run_study(root, name, STUDIES[name])]
    if failed:
        raise Refusal(f"{len(failed)} of the experiments failed, and are not in the tables: {', '.join(failed)}")


if __name__ == "__main__":
    sys.argv[0] = "experiments"  # what its messages begin with
    main(run, *sys.argv[1:])
