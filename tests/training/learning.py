"""What each of the processes does that test_processes.py has torchrun start: `learning.py JOB`, in a folder of its own.

The networks are of float64, where rounding does not hide a mistake.
"""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from study.data.splits import Examples
from study.features.augment import BatchAugment
from study.networks import device
from study.pipeline.stage import main
from study.training.checkpoints import Checkpoints
from study.training.loop import Batches, Training, fit, over_images
from study.training.processes import averaged, from_leader, in_processes, leads, processes, share
from study.training.recipe import Learner, Phase, Recipe

AUGMENT = BatchAugment(crop=True, flip=True, randaugment=True, cutout=True, augmix=True, mixup=0.2, cutmix=1.0)
RECIPE = Recipe(optimizer="sgd", schedule="cosine", ema=0.9, clip=1.0, patience=None)
PHASE = Phase(epochs=3, lr=0.05, weight_decay=0.0005, label_smoothing=0.1)
BATCH = 15  # not an even number: the shares are of 7 and 8


class Pixels(nn.Module):
    """Images, uint8 (N, H, W, 3), as float64 (N, 3, H, W) in [0, 1]."""

    def forward(self, images: Tensor) -> Tensor:
        return images.permute(0, 3, 1, 2).double() / 255


class NormOfTwoShares(nn.BatchNorm2d):
    """Batch norm as two processes have it: each share by its own moments, the running ones from the leader's."""

    def forward(self, maps: Tensor) -> Tensor:
        if not self.training:
            return super().forward(maps)
        leader, other = maps[: len(maps) // 2], maps[len(maps) // 2 :]
        of_other = F.batch_norm(other, None, None, self.weight, self.bias, training=True, eps=self.eps)
        return torch.cat([super().forward(leader), of_other])


def network(norm: type[nn.Module], dropout: float) -> nn.Module:
    torch.manual_seed(0)
    convolutions = [nn.Conv2d(3, 8, 3, stride=4), norm(8), nn.ReLU(), nn.Conv2d(8, 8, 3), norm(8), nn.ReLU()]
    return nn.Sequential(Pixels(), *convolutions, nn.Flatten(), nn.Dropout(dropout), nn.Linear(8 * 6 * 6, 3)).double()


def plain() -> nn.Module:
    return network(nn.Identity, dropout=0.0)


def normalised() -> nn.Module:
    return network(nn.BatchNorm2d, dropout=0.0)


def everything() -> nn.Module:
    return network(nn.BatchNorm2d, dropout=0.3)


def examples() -> Examples:
    """Forty-five images of three classes, each of a colour of its own under noise."""
    labels = np.arange(45) % 3
    noise = np.random.default_rng(0).integers(0, 200, (45, 32, 32, 3))
    return Examples((noise + 55 * np.eye(3, dtype=int)[labels][:, None, None]).astype(np.uint8), labels)


class Mortal:
    """The same batches, but the process that does not lead is killed in its third epoch."""

    def __init__(self, batches: Batches) -> None:
        self.batches, self.begun = batches, 0

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        self.begun += 1
        if self.begun == 1 + 3 and not leads():  # the first of all is for the gradients
            os.kill(os.getpid(), signal.SIGKILL)
        return self.batches.epoch(generator)


def learn(folder: Path, model: nn.Module, batches: Batches | Mortal) -> None:
    """Leave the curve, the weights, the gradients of the first step and the number of processes in result.pt."""
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    Learner(model, RECIPE, PHASE, 9).step(*next(batches.epoch(torch.Generator().manual_seed(0))))
    gradients = [parameter.grad for parameter in model.parameters()]
    model.load_state_dict(start)

    torch.manual_seed(0)
    checkpoints = from_leader(lambda: Checkpoints(folder, "full", [RECIPE, PHASE], []))
    curve = fit(model, batches, examples(), PHASE, "full", Training(RECIPE, 0, checkpoints))
    if leads():
        torch.save((curve, model.state_dict(), gradients, processes()), folder / "result.pt")


def all_images() -> Batches:
    return over_images(examples(), BATCH, AUGMENT)


def meet(root: Path) -> None:
    rank = distributed.get_rank()
    mean, rows = averaged(torch.tensor([rank + 1.0])).item(), np.arange(7)[share(7)]
    (root / f"{rank}.txt").write_text(f"{leads()} {rows} {mean} {from_leader(lambda: rank)}")
    print("rank", rank)


def run(params: dict[str, Any], root: Path, job: str) -> None:
    device.has_native_bf16 = lambda: False

    def all_trainings() -> None:
        meet(root)
        for make in (plain, normalised):
            learn(root / make.__name__, make(), all_images())
        learn(root / "everything", everything(), all_images())
        learn(root / "killed", everything(), Mortal(all_images()))

    def carry_on() -> None:
        learn(root / "killed", everything(), all_images())

    in_processes(2, {"all": all_trainings, "carry on": carry_on}[job])


if __name__ == "__main__":
    main(run, *sys.argv[1:])
