import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from study.pipeline.params import Refusal
from study.pipeline.stage import only_one, refused_by_the_system

SCRIPT = """
import time
from study.pipeline.params import Refusal
from study.pipeline.stage import main
def run(params, root, how):
    if how == "refuse":
        raise Refusal("data.train = 0: too few")
    if how == "full disk":
        raise OSError(28, "No space left on device", "models/fc.safetensors")
    if how == "wrong path":
        open("results/no-such-folder/table.csv")
    print("working", flush=True)
    time.sleep(60)
main(run, "{how}")
"""

PAGE_FAULTS = """
import resource
import sys
import numpy as np
from study.pipeline.stage import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(2**23)  # 64 MiB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


@pytest.fixture
def start(tmp_path):
    """Starts a stage script in a project of its own."""
    (tmp_path / "params.yaml").write_text("freeze: fc\n")
    (tmp_path / "train_fc.py").write_text("")
    started = []

    def script(how):
        code = "import sys; sys.argv[0] = 'stages/train_fc.py'\n" + SCRIPT.replace("{how}", how)
        path = {"PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)}
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=os.environ | path,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        return process

    yield script
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ("refuse", "train_fc-refuse: data.train = 0: too few\n"),
        ("full disk", "train_fc-full disk: [Errno 28] No space left on device: 'models/fc.safetensors'\n"),
    ],
)
def test_a_fault_that_the_user_can_mend_is_one_line_and_status_one(start, how, line):
    process = start(how)
    assert process.communicate()[1] == line
    assert process.returncode == 1


def test_a_wrong_path_inside_a_stage_is_a_bug_and_keeps_its_traceback(start):
    process = start("wrong path")
    errors = process.communicate()[1]
    assert errors.startswith("Traceback") and "in run" in errors
    assert errors.endswith("No such file or directory: 'results/no-such-folder/table.csv'\n")
    assert process.returncode == 1


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        *(("ENOSPC", True), ("EDQUOT", True), ("EACCES", True), ("EPERM", True), ("EROFS", True)),
        *(("ENAMETOOLONG", True), ("ENOENT", False), ("EISDIR", False), ("EEXIST", False), ("EBADF", False)),
    ],
)
def test_the_system_refuses_for_want_of_room_or_permission_and_not_for_a_wrong_path(name, refused):
    assert refused_by_the_system(OSError(getattr(errno, name), os.strerror(getattr(errno, name)))) == refused


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_numpy_s_error_for_a_full_disk_is_one_too():
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(OSError, match="requested") as fault:
        np.zeros(2**20).tofile(full)
    assert fault.value.errno is None and refused_by_the_system(fault.value)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_script_with_one_line(start, number):
    process = start("wait")
    process.stdout.readline()
    process.send_signal(number)
    assert process.communicate()[1] == f"train_fc-wait: ended by {number.name}; the next run does what is missing\n"
    assert process.returncode == 128 + number


def test_processes_that_torchrun_started_do_not_refuse_each_other(start, monkeypatch):
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        assert start("wait").stdout.readline() == "working\n"
    second = start("wait")
    assert "holds this stage" in second.communicate()[1]


def test_a_second_writer_is_refused_by_the_pid_of_the_first(start):
    first = start("wait")
    first.stdout.readline()
    second = start("wait")
    assert f"another run (process {first.pid}) holds this stage" in second.communicate()[1]
    assert second.returncode == 1
    assert first.poll() is None


def test_a_killed_writer_leaves_no_lock(start):
    first = start("wait")
    first.stdout.readline()
    first.kill()
    first.wait()
    assert start("wait").stdout.readline() == "working\n"


def test_locks_of_other_names_do_not_hinder(tmp_path):
    with only_one(tmp_path, "calibrate-fc"), only_one(tmp_path, "calibrate-full"):
        pass


def test_the_lock_is_free_again_after_a_failure(tmp_path):
    with pytest.raises(Refusal, match="bad"), only_one(tmp_path, "report"):
        raise Refusal("bad")
    with only_one(tmp_path, "report"):
        pass


def page_faults(mode):
    command = [sys.executable, "-c", PAGE_FAULTS, mode]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc's allocator is told")
def test_a_block_that_was_freed_is_used_again_without_page_faults():
    assert page_faults("kept") < page_faults("returned") / 10
