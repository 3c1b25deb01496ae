"""The queue on a Ray cluster of two nodes on this machine, with a bare git remote and an S3 server."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from lab.experiments import __main__ as program
from lab.experiments.runner import run_study
from study.pipeline.files import read_table
from study.pipeline.params import Refusal
from study.pipeline.stage import main
from tests.lab.experiments.toy_project import call, make_project, study, trained

pytest.importorskip("ray", reason="needs ray, of requirements/ray.txt")
from lab.experiments.ray_cluster import RayCluster, pushed

PATIENCE = 600  # seconds, on a busy machine
COUNT = """
import sys, ray
ray.init(address=sys.argv[1], log_to_driver=False)
print(int(ray.cluster_resources().get("CPU", 0)), end="")
"""
TABLE = "lab/experiments/results/augmentation.csv"
pytestmark = [
    pytest.mark.optional,
    pytest.mark.filterwarnings("ignore:_NoneStep.value"),  # DVC's, of pygtrie
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray's, of its log files and processes
]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A repository whose commit is on a bare git remote."""
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    folder = tmp_path / "project"
    make_project(folder)
    call(tmp_path, "git", "init", "--quiet", "--bare", "remote.git")
    call(folder, "git", "remote", "add", "origin", "../remote.git")
    return folder


@pytest.fixture
def shared(project, s3_server):
    """The same, with a DVC remote on an S3 server."""
    call(project, "dvc", "remote", "add", "--default", "store", "s3://bucket/study")
    call(project, "dvc", "remote", "modify", "store", "endpointurl", s3_server)
    publish(project)
    return project


def publish(project):
    call(project, "git", "commit", "--quiet", "--all", "--message", "Share")
    call(project, "git", "push", "--quiet", "origin", "HEAD:main")


@pytest.fixture
def nodes(shared):
    """The address of a cluster and its two nodes, as processes, with a processor each. The head computes nothing."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    options = ["--block", "--disable-usage-stats", "--node-ip-address", "127.0.0.1", "--num-cpus"]
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:  # short: sockets
        head = ["--head", "--port", address.split(":")[1], "--temp-dir", folder, "--include-dashboard", "false"]
        environment = os.environ | {"TMPDIR": folder}  # where a killed worker leaves its clone
        processes = [start(environment, "ray", "start", *head, *options, "0")]
        try:
            wait_for(address, processors=0)
            for number in (1, 2):  # one after another: two that start at once take the same ports
                processes.append(start(environment, "ray", "start", "--address", address, *options, "1"))
                wait_for(address, processors=number)
            signal.alarm(2 * PATIENCE)  # ends the process of a test that hangs
            yield address, processes[1:]
        finally:
            signal.alarm(0)
            for process in processes:
                kill(process)


def wait_for(address, processors):
    """Until a cluster with so many processors answers."""
    deadline = time.monotonic() + PATIENCE
    command = [sys.executable, "-c", COUNT, address]
    while subprocess.run(command, capture_output=True, text=True).stdout != f"{processors}":
        assert time.monotonic() < deadline


def start(environment, *command):
    return subprocess.Popen(
        command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def kill(process):
    """With all that it started, as a machine that loses power."""
    subprocess.run(["pkill", "--signal", "KILL", "--session", str(process.pid)])
    process.wait()


def run(project, address, *rates):
    with closing(RayCluster(project, address)) as cluster:
        return run_study(project, "augmentation", study(*rates)._replace(cpus=1), cluster)


def once_training(project, rate, then):
    """Call `then` as soon as a training at this rate has started, and let it go on after that."""
    hold, log = project.parent / "hold", project.parent / "log"
    hold.touch()

    def watch():
        deadline = time.monotonic() + PATIENCE
        while not (log.exists() and str(rate) in log.read_text()):
            if time.monotonic() > deadline:
                return
            time.sleep(0.05)
        try:
            then()
        finally:
            hold.unlink()

    threading.Thread(target=watch, daemon=True).start()


def worker_and_node(name, processes):
    """Ray titles a worker by its task; other tests may run a cluster beside this one."""
    found = subprocess.check_output(["pgrep", "--full", f"^ray::{name}"], text=True).split()
    pairs = [(int(pid), node) for pid in found for node in processes if os.getsid(int(pid)) == node.pid]
    return pairs[0]


def name_in(printed, setting):
    return next(word for word in printed.split() if word.startswith(f"augmentation-{setting}-0-"))


@pytest.mark.slow
def test_a_cluster_makes_the_table_of_one_machine_though_a_worker_was_killed(shared, nodes, tmp_path):
    alone = shutil.copytree(shared, tmp_path / "alone" / "project")
    assert run_study(alone, "augmentation", study(0.1, 0.2, 0.3)) == []
    trained(shared)

    once_training(shared, 0.2, then=lambda: os.kill(worker_and_node("augmentation-lr0.2", nodes[1])[0], signal.SIGKILL))
    assert run(shared, nodes[0], 0.1, 0.2, 0.3) == []
    assert sorted(trained(shared)) == [0.1, 0.2, 0.2, 0.3]
    pd.testing.assert_frame_equal(read_table(shared / TABLE), read_table(alone / TABLE))


@pytest.mark.slow
def test_a_stopped_queue_ends_in_a_line_and_the_next_does_the_rest_though_the_table_has_changed(
    shared, nodes, monkeypatch, capsys
):
    call(shared, "git", "switch", "--quiet", "--create", "work")
    assert run(shared, nodes[0], 0.1) == []
    call(shared, "git", "add", "lab")
    publish(shared)
    monkeypatch.chdir(shared)
    monkeypatch.setattr(sys, "argv", ["experiments"])
    monkeypatch.setattr(program, "STUDIES", {"augmentation": study(0.1, 0.2)._replace(cpus=1)})
    once_training(shared, 0.2, then=lambda: os.kill(os.getpid(), signal.SIGTERM))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises(SystemExit) as ended:
            main(partial(program.run, ray=nodes[0]))
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert ended.value.code == 128 + signal.SIGTERM
    assert capsys.readouterr().err == "experiments: ended by SIGTERM; the next run does what is missing\n"

    assert trained(shared) == [0.1, 0.2]
    (shared / TABLE).write_text("of the stopped queue\n")
    assert run(shared, nodes[0], 0.1, 0.2) == []
    assert trained(shared) == [0.2]


@pytest.mark.slow
def test_a_lost_node_costs_what_it_was_at_and_a_new_clone_repeats_nothing(shared, nodes, tmp_path, capsys):
    address, processes = nodes
    assert run(shared, address, 0.1) == []
    once_training(shared, 0.2, then=lambda: kill(worker_and_node("augmentation-lr0.2", processes)[1]))
    assert run(shared, address, 0.1, 0.2) == []
    assert trained(shared) == [0.1, 0.2, 0.2]

    call(tmp_path, "git", "clone", "--quiet", "--branch", "main", str(tmp_path / "remote.git"), "new")
    capsys.readouterr()
    assert run(tmp_path / "new", address, 0.1, 0.2, 5.0) == [name_in(capsys.readouterr().out, "lr5.0")]
    assert trained(shared) == [5.0]
    assert list(read_table(tmp_path / "new" / TABLE)["setting"]) == ["lr0.1", "lr0.2"]


def test_what_the_machines_could_not_see_is_refused_with_the_way_out(project, tmp_path):
    with pytest.raises(Refusal, match="dvc remote add -d store PLACE, and commit"):
        pushed(project)
    call(project, "dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
    with pytest.raises(Refusal, match="commit your changes, and push"):
        pushed(project)
    call(project, "git", "commit", "--quiet", "--all", "--message", "Remote")
    (project / "study").mkdir()
    (project / "study/new.py").touch()
    with pytest.raises(Refusal, match="commit your changes, and push"):
        pushed(project)
    shutil.rmtree(project / "study")
    with pytest.raises(Refusal, match="lacks this commit: git push"):
        pushed(project)
    call(project, "git", "push", "--quiet", "origin", "HEAD:main")
    assert pushed(project) == (str(tmp_path / "remote.git"), call(project, "git", "rev-parse", "HEAD").strip())
    call(project, "git", "remote", "remove", "origin")
    with pytest.raises(Refusal, match="clone the git remote `origin`: add it, and push"):
        pushed(project)


def test_a_cluster_that_does_not_answer_is_refused(tmp_path):
    with socket.socket() as taken:  # bound, and not listening
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Refusal, match=f"no Ray cluster at {address}"):
            RayCluster(tmp_path, address)


@pytest.mark.parametrize("address", ["data_size", ""])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(Refusal, match=f"'{address}' after --ray is no address: name the studies first"):
        program.run({}, Path(), ray=address)
