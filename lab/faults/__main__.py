"""Try every fault many times, and write what became of it to lab/faults/RESULTS.md: `how-deep faults`.

The study is a small one on the digits, in temporary clones. Two faults are tried at a time. Exits with 1 when a result
was lost, silently wrong or never finished.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

from lab.faults import interruptions as i
from lab.faults import surroundings as s
from lab.faults.study import LAST, PATIENCE, ROOT, Outcome, Study, clone, prepare

RESULTS = Path(__file__).parent / "RESULTS.md"
HEAD = """# Faults tried

`how-deep faults --times {times}` took {minutes:.0f} minutes ({system}, Python {python}) and wrote this table. A study
is a small one on the digits, in a temporary clone; undisturbed it takes {seconds:.0f} s. A disturbed one is finished
with `dvc repro`: each of its {files} files that hold no seconds is compared with the undisturbed one's, and every file
in DVC's cache with its name, which is its hash. What differs, is missing, is left over or never finishes is *wrong*.

"""
AT_A_TIME = 2  # faults
INPUTS = 4  # times as many of the tests' inputs as there are disturbances

Fault = Callable[[Study, Path, int], Outcome]


def rerun(*arguments: str) -> Fault:
    """The fault that these tests try, with INPUTS * `times` as many inputs, and other ones. arguments: pytest's.

    Tests tell with record_property what became of their inputs; else each test counts as one.
    """

    def run(study: Study, folder: Path, times: int) -> Outcome:
        report = folder / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junit-xml={report}", "-o", "junit_family=xunit1"]
        command += [f"--basetemp={folder / 'tests'}", "-p", "no:cacheprovider", *arguments]
        environment = os.environ | {"FAULT_TIMES": str(INPUTS * times), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE)
        if not report.exists():  # a crash
            return Outcome(wrong=[done.stdout[-LAST:]])
        tree = ElementTree.parse(report)
        cases = list(tree.iter("testcase"))
        wrong = [case.get("name", "") for case in cases if {"failure", "error"} & {part.tag for part in case}]
        counts: Counter[str] = Counter()
        for told in tree.iter("property"):
            if not told.get("name", "").startswith("hypothesis"):  # which tells statistics of its own
                counts[told.get("name", "")] += int(told.get("value", 0))
        counts = counts or Counter({"as they should": len(cases) - len(wrong)})
        return Outcome(counts.total(), counts, wrong)

    return run


TESTED = {  # faults that tests try, and the arguments that have pytest run those
    "params.yaml changed, torn or made up": ("tests/test_fuzz_params.py",),
    "mutated PNG, JPEG, GIF, WebP, TIFF and BMP": ("tests/test_inference.py", "-k", "mutated"),
    "files that are no pictures, and bombs": ("tests/test_inference.py", "-k", "cannot_be_read or without_end"),
    "CIFAR-10's pickles and archive damaged, swapped, tampered with": ("tests/sources/test_cifar10.py",),
    "a server that stalls, cuts off, lies or sends another file": ("tests/sources/test_fetch.py",),
    "a remote storage with a damaged file": ("tests/test_remote.py",),
}
FAULTS: dict[str, Fault] = {
    "kill -9 of a stage's script": partial(i.disturb, i.kill_script),
    "kill -9 of dvc alone": partial(i.disturb, i.kill_dvc),
    "kill -9 of the whole process group": partial(i.disturb, i.kill_group),
    "SIGINT to the group, as Ctrl-C": partial(i.disturb, i.interrupt_group),
    "SIGTERM to the group": partial(i.disturb, i.end_group),
    "a second `dvc repro` beside the first": partial(i.disturb, i.run_beside),
    "a full disk": s.full_disk,
    "files that may not be read, folders that may not be written": s.forbidden,
    "a clock set back or forward (the times of all files moved)": s.clock_moved,
    "two clones at work on one DVC cache": s.shared_cache,
    **{name: rerun(*arguments) for name, arguments in TESTED.items()},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=8, help="disturbances of each kind")
    parser.add_argument("--only", default="", help="the faults whose names contain this; writes no table")
    asked = parser.parse_args()
    chosen = {name: fault for name, fault in FAULTS.items() if asked.only in name}
    began = time.monotonic()
    with TemporaryDirectory(prefix="faults-") as temporary, ThreadPoolExecutor(AT_A_TIME) as pool:
        clone(Path(temporary) / "base")
        study = prepare(Path(temporary) / "base", Path(temporary) / "undisturbed")

        def attempt(name: str) -> Outcome:
            folder = Path(temporary) / str(list(FAULTS).index(name))
            folder.mkdir()
            try:
                outcome = chosen[name](study, folder, asked.times)
            except (subprocess.SubprocessError, OSError) as fault:  # of this one: the others go on
                outcome = Outcome(wrong=[f"not tried to its end: {fault}"])
            print(f"{name}: {outcome}", flush=True)
            return outcome

        outcomes = dict(zip(chosen, pool.map(attempt, chosen), strict=True))
    text = table(outcomes)
    print(text)
    if not asked.only:
        RESULTS.write_text(
            HEAD.format(
                times=asked.times,
                minutes=(time.monotonic() - began) / 60,
                system=f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
                python=platform.python_version(),
                seconds=study.seconds,
                files=len(study.reference),
            )
            + text
        )
    sys.exit(any(outcome.wrong for outcome in outcomes.values()))


def table(outcomes: dict[str, Outcome]) -> str:
    """In Markdown."""
    lines = ["| fault | tries | what became of them | lost or wrong |", "| --- | ---: | --- | ---: |"]
    for name, outcome in outcomes.items():
        counts = ", ".join(f"{words}: {count:,}" for words, count in outcome.counts.items() if count)
        lines.append(f"| {name} | {outcome.tries:,} | {counts} | {len(outcome.wrong)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
