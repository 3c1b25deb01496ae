"""Several processes over gloo on this machine, started by torchrun; learning.py is what they do."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from study.networks import device
from study.pipeline.files import read_json, read_table
from study.pipeline.params import Refusal
from study.training import processes
from study.training.processes import averaged, from_leader, in_processes, leads, replicated, share
from tests.training import learning

ROOT = Path(__file__).parents[2]


class Result(NamedTuple):
    curve: list[dict]
    best: dict[str, Tensor]
    first_gradients: list[Tensor]


def result(folder: Path, count: int) -> Result:
    curve, best, gradients, processes = torch.load(folder / "result.pt")
    assert processes == count
    return Result([{key: row[key] for key in row if key not in ("phase", "seconds")} for row in curve], best, gradients)


def start(folder, *command):
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        text=True,
        capture_output=True,
    )


def torchrun(folder, job):
    script = [str(ROOT / "tests/training/learning.py"), job]
    return start(folder, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *script)


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """Where two processes learned, and how they ended: the last of the trainings is killed on the way."""
    folder = tmp_path_factory.mktemp("together")
    (folder / "params.yaml").write_text("freeze: fc\n")
    for name in ("plain", "normalised", "everything", "killed"):
        (folder / name).mkdir()
    return folder, torchrun(folder, "all")


def alone(folder, model):
    """What one process learns."""
    native, state = device.has_native_bf16, torch.get_rng_state()
    device.has_native_bf16 = lambda: False
    try:
        in_processes(1, lambda: learning.learn(folder, model, learning.all_images()))
    finally:
        device.has_native_bf16 = native
        torch.set_rng_state(state)
    return result(folder, 1)


def assert_learned_the_same(together, of_one):
    """But for rounding: the tolerances are of the loss, which is of float32."""
    for gradient, expected in zip(together.first_gradients, of_one.first_gradients, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-8)
    assert [row["epoch"] for row in together.curve] == [1, 2, 3]
    for row, expected in zip(together.curve, of_one.curve, strict=True):
        assert row == pytest.approx(expected, rel=1e-6)
    assert together.best.keys() == of_one.best.keys()
    for name, tensor in together.best.items():
        torch.testing.assert_close(tensor, of_one.best[name], rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_processes_share_the_work_and_one_of_them_leads(ended):
    folder, process = ended
    assert (folder / "0.txt").read_text() == "True [0 1 2] 1.5 0"
    assert (folder / "1.txt").read_text() == "False [3 4 5 6] 1.5 0"
    assert "rank 0\n" in process.stdout and "rank 1" not in process.stdout


@pytest.mark.slow
def test_without_batch_norm_and_dropout_two_processes_learn_what_one_learns(ended, tmp_path):
    assert_learned_the_same(result(ended[0] / "plain", 2), alone(tmp_path, learning.plain()))


@pytest.mark.slow
def test_with_batch_norm_they_differ_from_one_by_the_moments_of_their_shares_and_nothing_else(ended, tmp_path):
    together = result(ended[0] / "normalised", 2)
    of_shares = learning.network(learning.NormOfTwoShares, dropout=0.0)
    assert_learned_the_same(together, alone(tmp_path, of_shares))
    of_one = alone(tmp_path, learning.normalised())
    assert not torch.allclose(together.first_gradients[0], of_one.first_gradients[0], rtol=1e-3)


@pytest.mark.slow
def test_a_killed_process_ends_the_other_and_the_next_run_carries_on_to_the_same_bytes(ended):
    folder, process = ended
    assert process.returncode != 0 and "SIGKILL" in process.stderr
    assert not (folder / "killed/result.pt").exists()
    process = torchrun(folder, "carry on")
    assert process.returncode == 0, process.stderr
    assert "full: carrying on after epoch " in process.stdout
    carried_on, undisturbed = result(folder / "killed", 2), result(folder / "everything", 2)
    assert carried_on.curve == undisturbed.curve
    for name, tensor in carried_on.best.items():
        assert torch.equal(tensor, undisturbed.best[name]), name


@pytest.mark.slow
def test_train_full_starts_itself_again_in_two_processes_and_leaves_what_one_leaves(project):
    root, params = project
    params["train"]["full"]["processes"] = 2
    (root / "params.yaml").write_text(json.dumps(params))
    process = start(root, "-m", "stages.train_full")
    assert process.returncode == 0, process.stderr
    assert read_json(root / "results/training/full/cost.json")["device"].startswith("2 x ")
    curve = read_table(root / "results/training/full/curve.csv")
    assert curve["phase"].tolist() == ["head"] * 3 + ["full"] * 2
    assert process.stdout.count("  full   1/2") == 1  # the leader alone says so
    assert (root / "models/full.safetensors").exists()
    assert list((root / ".cache/checkpoints").iterdir()) == []


def test_one_process_trains_right_here():
    trained = []
    in_processes(1, lambda: trained.append((leads(), share(5), processes.processes())))
    assert trained == [(True, slice(0, 5), 1)]


def test_a_process_alone_has_nothing_to_share():
    network, values = torch.nn.Linear(2, 2), torch.ones(3)
    assert replicated(network) is network
    assert torch.equal(averaged(values), torch.ones(3))
    assert from_leader(lambda: "made") == "made"


@pytest.mark.parametrize("count", [7, 8, 9, 128])
@pytest.mark.parametrize("world", [2, 3, 7])
def test_every_row_is_in_one_share_and_the_shares_are_of_one_size_but_for_one_row(monkeypatch, count, world):
    monkeypatch.setattr(processes, "processes", lambda: world)
    monkeypatch.setattr(processes.distributed, "is_initialized", lambda: True)
    shares = []
    for rank in range(world):
        monkeypatch.setattr(processes.distributed, "get_rank", lambda rank=rank: rank)
        shares.append(list(range(count))[share(count)])
    assert [row for rows in shares for row in rows] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.fixture
def executed(monkeypatch):
    """The commands that would have taken this process's place."""
    commands = []

    def execv(path, command):
        commands.append([path, *command])
        raise SystemExit

    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setattr(sys, "argv", ["/somewhere/stages/train_full.py"])
    return commands


def test_a_stage_that_wants_processes_starts_again_under_torchrun(executed, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with pytest.raises(SystemExit):
        in_processes(4, pytest.fail)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=4"]
    assert executed == [[sys.executable, sys.executable, *torchrun, "-m", "stages.train_full"]]
    assert os.environ["OMP_NUM_THREADS"] == "1"
    monkeypatch.setenv("OMP_NUM_THREADS", "3")  # the user's own choice
    with pytest.raises(SystemExit):
        in_processes(2, pytest.fail)
    assert os.environ["OMP_NUM_THREADS"] == "3"


def test_too_few_gpus_are_refused_in_one_line_before_anything_starts(executed, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(Refusal) as refusal:
        in_processes(2, pytest.fail)
    assert str(refusal.value) == "params.yaml: processes = 2 on this machine, which has a GPU for 1"
    assert executed == []


@pytest.fixture
def launched(monkeypatch):
    """As torchrun leaves the environment of the second of two processes on this machine."""
    for name in ("TORCHELASTIC_RUN_ID", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "2")
    monkeypatch.setenv("LOCAL_RANK", "1")


def test_too_few_gpus_on_one_of_several_machines_are_refused(launched, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(Refusal, match="processes = 2 on this machine, which has a GPU for 1"):
        in_processes(4, pytest.fail)


@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_processes_than_torchrun_started_is_refused(launched, executed, count):
    with pytest.raises(Refusal, match=f"processes = {count} in this training, and torchrun started 2"):
        in_processes(count, pytest.fail)
    assert executed == []
