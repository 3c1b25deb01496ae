"""Two processes learn what one learns, over gloo.

The network is of float64, where rounding does not hide a mistake; the tolerances are of the loss, which is of float32.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stages.common import device, training
from stages.common.augment import BatchAugment
from stages.common.checkpoints import Checkpoints
from stages.common.distributed import from_leader, in_processes, leads, processes
from stages.common.examples import Examples
from stages.common.optimisation import Learner
from stages.common.params import Refusal
from stages.common.training import ImageRecipe, fit, over_images
from tests.common.test_optimisation import RECIPE as PLAIN
from tests.test_dvc_yaml import ROOT

AUGMENT = BatchAugment(crop_flip=True, randaugment=True, cutout=True, mixup=0.2, cutmix=1.0)
KNOBS = {"epochs": 3, "lr": 0.05, "weight_decay": 0.0005, "label_smoothing": 0.1, "schedule": "cosine", "ema": 0.9}
RECIPE = ImageRecipe(**PLAIN.model_dump() | KNOBS | {"clip": 1.0, "augment": AUGMENT, "processes": 1})
BATCH = 15  # no even number: the shares are of 7 and 8


class Pixels(nn.Module):
    """Images, uint8 (N, H, W, 3), as float64 (N, 3, H, W) in [0, 1]."""

    def forward(self, images: Tensor) -> Tensor:
        return images.permute(0, 3, 1, 2).double() / 255


class Result(NamedTuple):
    curve: list[dict]
    best: dict[str, Tensor]
    first_gradients: list[Tensor]


def examples() -> Examples:
    """Forty-five images of three classes, each of a colour of its own under noise."""
    labels = np.arange(45) % 3
    noise = np.random.default_rng(0).integers(0, 200, (45, 32, 32, 3))
    return Examples((noise + 55 * np.eye(3, dtype=int)[labels][:, None, None]).astype(np.uint8), labels)


def network() -> nn.Module:
    torch.manual_seed(0)
    convolutions = [nn.Conv2d(3, 8, 3, stride=4), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8)]
    head = [nn.Flatten(), nn.Dropout(0.3), nn.Linear(8 * 6 * 6, 3)]
    return nn.Sequential(Pixels(), *convolutions, nn.ReLU(), *head).double()


def learn(folder: Path) -> None:
    """Leave a Result, and in how many processes it was learned."""
    device.has_native_bf16 = lambda: False
    batches = over_images(examples(), BATCH, AUGMENT)
    model = network()
    learner = Learner(model, RECIPE, 9)
    learner.step(*next(batches.epoch(torch.Generator().manual_seed(0))))
    gradients = [parameter.grad for parameter in model.parameters()]

    checkpoints = from_leader(lambda: Checkpoints(folder, "full", [RECIPE], []))
    model = network()
    curve = fit(model, batches, examples(), RECIPE, 0, "full", checkpoints)
    if leads():
        torch.save((curve, model.state_dict(), gradients, processes()), folder / "result.pt")


def learn_and_then_be_killed(whole: Path, disturbed: Path) -> None:
    """A training undisturbed, and one whose second process dies when two of its epochs are saved."""
    learn(whole)
    judge, judged = training.judge, []

    def judge_and_die(*args):
        judged.append(args)
        if len(judged) == 3 and not leads():
            os.kill(os.getpid(), signal.SIGKILL)
        return judge(*args)

    training.judge = judge_and_die
    learn(disturbed)


def result(folder: Path, count: int) -> Result:
    curve, best, gradients, processes = torch.load(folder / "result.pt")
    assert processes == count
    return Result([{key: row[key] for key in row if key not in ("phase", "seconds")} for row in curve], best, gradients)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return [tmp_path_factory.mktemp(name) for name in ("alone", "together", "disturbed")]


@pytest.fixture(scope="module")
def alone(folders):
    native, state = device.has_native_bf16, torch.get_rng_state()
    in_processes(1, learn, folders[0])
    device.has_native_bf16 = native
    torch.set_rng_state(state)
    return result(folders[0], 1)


@pytest.fixture(scope="module")
def refusal(folders):
    """How the two processes ended that had both trainings to do."""
    with pytest.raises(Refusal) as ended:
        in_processes(2, learn_and_then_be_killed, *folders[1:])
    return str(ended.value)


@pytest.fixture(scope="module")
def together(folders, refusal):
    return result(folders[1], 2)


def test_the_gradients_of_the_first_step_are_those_of_one_process(alone, together):
    for gradient, of_one in zip(together.first_gradients, alone.first_gradients, strict=True):
        torch.testing.assert_close(gradient, of_one, rtol=1e-5, atol=1e-8)


def test_two_processes_learn_what_one_learns(alone, together):
    assert [row["epoch"] for row in together.curve] == [1, 2, 3]
    for row, of_one in zip(together.curve, alone.curve, strict=True):
        assert row == pytest.approx(of_one, rel=1e-6)
    assert together.best.keys() == alone.best.keys()
    for name, tensor in together.best.items():
        torch.testing.assert_close(tensor, alone.best[name], rtol=1e-5, atol=1e-7)


def test_a_killed_process_ends_the_others_with_one_line(refusal):
    assert refusal == "process 2 of 2 was ended (SIGKILL), and the others with it"


def test_a_training_whose_process_was_killed_is_carried_on_to_the_same_bytes(folders, together):
    assert not (folders[2] / "result.pt").exists()
    in_processes(2, learn, folders[2])
    carried_on = result(folders[2], 2)
    assert carried_on.curve == together.curve
    for name, tensor in carried_on.best.items():
        assert torch.equal(tensor, together.best[name]), name


SCRIPT = """
import numpy as np
import torch
from stages.common.distributed import averaged, from_leader, in_processes, joined, leads, share
from stages.common.stage import main
from torch import distributed as dist

def meet(root):
    rank = dist.get_rank()
    rows = np.arange(7)[share(7)]
    mean = averaged(torch.tensor([rank + 1.0])).item()
    (root / f"{rank}.txt").write_text(f"{leads()} {rows} {joined(rows)} {mean} {from_leader(lambda: rank)}")
    print("rank", rank)

main(lambda params, root: in_processes(2, meet, root))
"""


def test_processes_that_torchrun_started_share_the_work_and_one_of_them_leads(tmp_path):
    (tmp_path / "params.yaml").write_text("freeze: fc\n")
    (tmp_path / "script.py").write_text(SCRIPT)
    ended = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "script.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        text=True,
        capture_output=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "0.txt").read_text() == "True [0 1 2] [0 1 2 3 4 5 6] 1.5 0"
    assert (tmp_path / "1.txt").read_text() == "False [3 4 5 6] [0 1 2 3 4 5 6] 1.5 0"
    assert ended.stdout == "rank 0\n"


def test_another_number_of_processes_than_torchrun_started_is_refused(monkeypatch):
    for name in ("TORCHELASTIC_RUN_ID", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.setenv(name, "2")
    with pytest.raises(Refusal, match="processes = 3 in this training, and torchrun started 2"):
        in_processes(3, print)


def test_a_fault_that_the_user_can_mend_comes_through_as_it_is(tmp_path):
    with pytest.raises(Refusal, match=r"No such file or directory: '.*result.pt'"):
        in_processes(2, torch.load, tmp_path / "result.pt")
