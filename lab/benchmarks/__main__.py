"""Ours against what people would use instead: `how-deep bench [PROGRAM ...] [--quick]`, or `make bench`.

Programs: training, utilisation, growth, serving; all of them by default. Each writes its CSV in lab/benchmarks/ after
every measurement, so that a second start carries on where one was stopped, and RESULTS.md at its end. Every speed is
measured three times by default. Rows of another machine stay, and are not taken for this one's. --quick is a smoke run
of minutes, under .cache/benchmarks/quick.
"""

import argparse
import shutil
import sys
from importlib import import_module
from pathlib import Path

from lab.benchmarks.measuring.machine import describe
from lab.benchmarks.measuring.table import Table
from lab.benchmarks.programs.inputs import work_folder
from lab.benchmarks.programs.plan import Plan
from lab.benchmarks.reporting.page import write_results
from study.pipeline.params import Refusal, read_params

PROGRAMS = {  # what each writes
    "serving": ("serving.csv", "serving_quality.csv"),
    "utilisation": ("utilisation.csv", "profile.csv"),
    "growth": ("growth.csv",),
    "training": ("training.csv",),
}
RUNS = 3


def main() -> None:
    """Exits with one line on a Refusal."""
    project, asked = Path.cwd(), parser().parse_args()
    programs = asked.programs or list(PROGRAMS)
    if unknown := set(programs) - set(PROGRAMS):
        sys.exit(f"benchmarks: there is no program {', '.join(sorted(unknown))}: there are {', '.join(PROGRAMS)}")
    folder = work_folder(project, "quick") if asked.quick else project / "lab/benchmarks"
    if asked.quick:
        shutil.rmtree(folder, ignore_errors=True)
    try:
        studied = read_params(project / "params.yaml")["train"]["common"]["image_size"]
        plan = Plan((32,), quick=True) if asked.quick else Plan(tuple(asked.sizes or [studied]), runs=asked.runs)
        for program in programs:
            if asked.fresh:
                for name in PROGRAMS[program]:
                    Table(folder / name).remove(machine=describe())
            import_module(f"lab.benchmarks.programs.{program}").run(project, folder, plan)
            write_results(folder)
    except Refusal as fault:
        sys.exit(f"benchmarks: {fault}")
    except KeyboardInterrupt:
        sys.exit("benchmarks: stopped; the next start carries on")
    print(folder / "RESULTS.md")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="how-deep bench", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "programs",
        nargs="*",
        metavar="PROGRAM",
        help=f"of {', '.join(PROGRAMS)}; all by default",
    )
    parser.add_argument("--quick", action="store_true", help="a smoke run of minutes, whose figures say nothing")
    parser.add_argument("--fresh", action="store_true", help="measure again what there is of this machine")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"of each measurement, in turn; {RUNS} by default")
    parser.add_argument("--sizes", type=int, nargs="+", help="pixels a side, the study's by default")
    return parser


if __name__ == "__main__":
    main()
