"""What tries the faults: it notices what is lost or wrong, and the committed table is its own."""

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from lab.faults import interruptions
from lab.faults.__main__ import FAULTS, RESULTS, TESTED, rerun, table
from lab.faults.study import ROOT, Outcome, contents, damaged, prepare

CAREFUL = """\
import pathlib, time
time.sleep(0.5)
pathlib.Path("results").mkdir(exist_ok=True)
pathlib.Path("results/model.txt").write_text("trained")
"""
CARELESS = """\
import pathlib, time
state, again = pathlib.Path("state"), " once more"
found = state.read_text() + again if state.exists() else "trained"
state.write_text(found)
while found == "trained" and pathlib.Path.cwd().name == "project":  # the undisturbed one has another folder
    time.sleep(0.01)
pathlib.Path("results").mkdir(exist_ok=True)
pathlib.Path("results/model.txt").write_text(found)
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Makes a study of one stage, run by this script, and the folder for its tries."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))

    def make(script):
        base = tmp_path / "base"
        base.mkdir()
        (base / "train.py").write_text(script)
        (base / "dvc.yaml").write_text("stages: {train: {cmd: python train.py, deps: [train.py], outs: [results]}}")
        subprocess.run(["dvc", "init", "--quiet", "--no-scm"], cwd=base, check=True)
        (base / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
        return prepare(base, tmp_path / "undisturbed"), tmp_path

    return make


def test_a_study_that_a_kill_does_not_change_is_right(study):
    outcome = interruptions.disturb(interruptions.kill_group, *study(CAREFUL), 3)
    assert (outcome.tries, outcome.wrong) == (3, [])


def test_a_study_that_a_kill_changes_is_wrong(study):
    def kill_in_the_stage(run, project):
        while run.process.poll() is None and not (project / "state").exists():
            time.sleep(0.01)
        interruptions.kill_group(run, project)

    outcome = interruptions.disturb(kill_in_the_stage, *study(CARELESS), 1)
    assert set(outcome.wrong) == {"results/model.txt"}


def test_a_file_of_the_cache_that_is_not_what_its_name_says_is_found(study):
    _, folder = study(CAREFUL)
    cache = folder / "undisturbed/.dvc/cache"
    assert damaged(cache) == []
    path = next(path for path in cache.rglob("*") if path.is_file() and path.read_text() == "trained")
    path.chmod(0o644)
    path.write_text("changed")
    assert damaged(cache) == [path]


def test_contents_differ_with_every_output_but_not_with_the_seconds(tmp_path):
    def leave(seconds, parameters):
        (tmp_path / "results/training/fc").mkdir(parents=True, exist_ok=True)
        cost = {"train_seconds": seconds, "epoch_seconds": [seconds], "of": {"parameters": parameters}}
        (tmp_path / "results/training/fc/cost.json").write_text(json.dumps(cost))
        (tmp_path / "results/training/fc/curve.csv").write_text("epoch\n1\n")
        return contents(tmp_path)

    first = leave(1.5, 10)
    assert set(first) == {"results/training/fc/cost.json", "results/training/fc/curve.csv"}
    assert leave(2.5, 10) == first
    other = leave(1.5, 11)
    assert other["results/training/fc/cost.json"] != first["results/training/fc/cost.json"]
    assert other["results/training/fc/curve.csv"] == first["results/training/fc/curve.csv"]


def test_tests_tell_what_became_of_their_inputs_and_which_failed(tmp_path):
    path = tmp_path / "test_two.py"
    path.write_text("""
import os

def test_good(record_property):
    record_property("refused", int(os.environ["FAULT_TIMES"]) * 10)

def test_bad(record_property):
    record_property("refused", 1)
    assert False
""")
    outcome = rerun(str(path))(None, tmp_path, 2)
    assert outcome == Outcome(81, Counter(refused=81), ["test_bad"])


def test_the_tests_that_try_a_fault_exist():
    assert [path for path, *_ in TESTED.values() if not (ROOT / path).exists()] == []


def test_the_table_has_a_line_for_each_fault():
    outcomes = {
        "a kill": Outcome(1200, Counter({"carried on": 1000, "refused": 0}), []),
        "a bomb": Outcome(2, wrong=["a"]),
    }
    assert table(outcomes).splitlines()[2:] == ["| a kill | 1,200 | carried on: 1,000 | 0 |", "| a bomb | 2 |  | 1 |"]


def test_the_committed_table_has_every_fault_and_nothing_lost_or_wrong():
    rows = re.findall(r"^\| (.+) \| ([\d,]+) \| .* \| (\d+) \|$", RESULTS.read_text(), re.MULTILINE)
    assert [name for name, _, _ in rows] == list(FAULTS)
    assert {wrong for _, _, wrong in rows} == {"0"}
