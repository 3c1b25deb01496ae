import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.repo import Repo

from how_deep import quickstart


@pytest.mark.parametrize(
    ("at_hand", "dataset", "other"), [(True, "cifar10", "digits"), (False, "digits", "CIFAR10_DIR")]
)
def test_it_says_which_dataset_it_takes_and_how_to_get_the_other(monkeypatch, capsys, at_hand, dataset, other):
    monkeypatch.setattr(quickstart.cifar10, "at_hand", lambda root: at_hand)
    assert quickstart.choose_dataset(Path()) == dataset
    assert other in capsys.readouterr().out


SLOW_TO_STOP = """
import os, signal, sys, time
def stop(*_):
    time.sleep(1)
    os.write(1, b"cleaned up\\n")
    sys.exit(1)
signal.signal(signal.SIGINT, stop)
os.write(1, b"at work\\n")  # a handler that interrupts print() cannot print
time.sleep(60)
"""


def test_ctrl_c_waits_for_dvc_to_clean_up_after_itself():
    code = """
import os, signal, sys
from how_deep import quickstart
signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests run in the background it is ignored
quickstart.run_experiment([sys.executable, "-c", sys.argv[1]], dict(os.environ))
"""
    running = subprocess.Popen(
        [sys.executable, "-c", code, SLOW_TO_STOP],
        cwd=Path(quickstart.__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert running.stdout.readline() == "at work\n"
    os.killpg(running.pid, signal.SIGINT)
    output, errors = running.communicate(timeout=60)
    assert errors.startswith("quickstart: stopped") and errors.count("\n") == 1
    assert output == "cleaned up\n"
    assert running.returncode == 1


@pytest.fixture
def git(monkeypatch, tmp_path):
    """Runs git in a repository of its own, which is the working directory; returns what it prints."""

    def git(*arguments):
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
        command = ["git", *identity, *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    monkeypatch.chdir(tmp_path)
    git("init")
    return git


def test_a_finished_experiment_replaces_an_earlier_one_of_any_commit(git):
    git("commit", "--allow-empty", "--message", "earlier")
    for name in ("ab/cdef/quickstart", "12/3456/quickstart", "ab/cdef/another"):
        git("update-ref", f"refs/exps/{name}", "HEAD")
    git("commit", "--allow-empty", "--message", "finished")
    git("update-ref", "refs/exps/ab/cdef/quickstart-new", "HEAD")
    quickstart.replace_experiment()
    told = git("for-each-ref", "--format=%(refname) %(contents:subject)", "refs/exps")
    assert told.splitlines() == ["refs/exps/ab/cdef/another earlier", "refs/exps/ab/cdef/quickstart finished"]


@pytest.mark.parametrize("finishes", [False, True])
def test_an_earlier_run_stays_until_the_next_has_finished(monkeypatch, git, tmp_path, finishes):
    git("commit", "--allow-empty", "--message", "earlier")
    git("update-ref", "refs/exps/ab/cdef/quickstart", "HEAD")
    git("commit", "--allow-empty", "--message", "later")

    def run(command, environment):
        assert command[:6] == ["dvc", "exp", "run", "--temp", "--name", "quickstart-new"]
        if not finishes:
            sys.exit("stopped")
        git("update-ref", "refs/exps/ab/cdef/quickstart-new", "HEAD")

    def copied(root):
        sys.exit("finished")

    monkeypatch.setattr(quickstart, "__file__", str(tmp_path / "how_deep/quickstart.py"))
    monkeypatch.setattr(quickstart, "require_ascii", lambda root: None)
    monkeypatch.setattr(quickstart.cifar10, "at_hand", lambda root: False)
    monkeypatch.setattr(quickstart, "run_experiment", run)
    monkeypatch.setattr(quickstart, "copy_results", copied)
    with pytest.raises(SystemExit, match="finished" if finishes else "stopped"):
        quickstart.main()
    left = git("for-each-ref", "--format=%(refname) %(contents:subject)", "refs/exps").splitlines()
    assert left == [f"refs/exps/ab/cdef/quickstart {'later' if finishes else 'earlier'}"]


def test_what_dvc_could_not_run_is_refused_in_one_line_before_anything_starts(monkeypatch, git, tmp_path, capsys):
    def begun(*_):
        pytest.fail("begun")

    monkeypatch.setattr(quickstart, "__file__", str(tmp_path / "how_deep/quickstart.py"))
    monkeypatch.setattr(quickstart, "choose_dataset", begun)
    git("config", "user.name", "Zoë")
    with Repo.init(tmp_path):
        pass
    with pytest.raises(SystemExit) as ended:
        quickstart.main()
    assert ended.value.code.startswith("quickstart: DVC runs experiments only where ") and "\n" not in ended.value.code


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's use of pygtrie
def test_results_are_copied_out_of_the_experiment(git, tmp_path):
    with Repo.init(tmp_path):
        pass
    for name in ("metrics/summary.json", "plots/a.csv", "MODEL_CARD.md", "report.html", "models/model.onnx"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    with Repo(tmp_path) as repo:
        repo.add("models/model.onnx")
    git("add", "--all")
    git("commit", "--message", "experiment")
    git("update-ref", "refs/exps/ab/cdef/quickstart", "HEAD")
    git("update-ref", "refs/exps/ab/cdef/another", "HEAD")

    left = tmp_path / "runs/quickstart/plots/of_an_earlier_run.png"
    left.parent.mkdir(parents=True)
    left.write_text("of another dataset")

    folder = tmp_path / quickstart.copy_results(tmp_path)
    copied = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert copied == {"metrics/summary.json", "plots/a.csv", "MODEL_CARD.md", "report.html", "model.onnx"}
    assert (folder / "model.onnx").read_text() == "models/model.onnx"


def test_the_small_sizes_fit_their_datasets():
    from study.sources.stratified_draw import Data

    for dataset, sizes in quickstart.SIZES.items():
        counts = {key.removeprefix("data."): count for key, count in sizes.items()}
        Data(dataset=dataset, path="pictures/README.md", side=64, seed=0, **counts)
