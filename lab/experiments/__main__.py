"""The studies beside the committed one, as queues of DVC experiments: `how-deep experiments [STUDY ...]`.

Or `make experiments`. Each experiment runs in a temporary copy of the project: the working tree keeps the committed
study. It is named by its setting, its seed and a digest of all that decides its results, and DVC keeps it when it has
finished: a queue that was stopped carries on where it was, and what other code or other settings measured is never
taken for current. What experiments share (the data, the frozen features) DVC's run cache computes once.
Writes lab/experiments/results/{study}.csv and {study}.png, systems.md and data_size.md; the log of each experiment is
under runs/experiments. With `--ray [ADDRESS]` they run on a Ray cluster, as docs/scaling.md says.
"""

import argparse
import sys
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from lab.experiments.runner import run_study
from lab.experiments.studies import STUDIES
from study.pipeline.params import Refusal
from study.pipeline.stage import main as in_frame

HERE = "this machine's"  # the value of --ray without an address


def run(params: dict[str, Any], root: Path, *names: str, ray: str | None = None) -> None:
    """ray: the address of a cluster, or HERE. Raises Refusal, after all queues, when an experiment failed."""
    if ray in {"", *STUDIES}:
        raise Refusal(f"'{ray}' after --ray is no address: name the studies first, as in `data_size --ray`")
    if unknown := set(names) - set(STUDIES):
        raise Refusal(f"there is no study {', '.join(sorted(unknown))}: there are {', '.join(STUDIES)}")
    with closing(ray_cluster(root, ray)) if ray is not None else nullcontext() as cluster:
        failed = [
            experiment for name in names or STUDIES for experiment in run_study(root, name, STUDIES[name], cluster)
        ]
    if failed:
        raise Refusal(f"{len(failed)} of the experiments failed, and are not in the tables: {', '.join(failed)}")


def ray_cluster(root: Path, address: str) -> Any:
    try:
        from lab.experiments.ray_cluster import RayCluster
    except ModuleNotFoundError:
        raise Refusal("--ray needs Ray: pip install -r requirements/ray.txt") from None
    return RayCluster(root, None if address == HERE else address)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="how-deep experiments", description="Run the studies beside the committed one."
    )
    parser.add_argument("studies", nargs="*", metavar="STUDY", help=f"all of them by default: {', '.join(STUDIES)}")
    parser.add_argument(
        "--ray",
        nargs="?",
        const=HERE,
        metavar="ADDRESS",
        help="as tasks of the Ray cluster there, or of this machine's",
    )
    asked = parser.parse_args()
    sys.argv[0] = "experiments"  # what its messages begin with
    in_frame(partial(run, ray=asked.ray), *asked.studies)


if __name__ == "__main__":
    main()
