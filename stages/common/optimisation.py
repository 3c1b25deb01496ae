"""How a network's weights are changed: the recipe, and one training step after another by it."""

from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, OneCycleLR, SequentialLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from stages.common.device import autocast
from stages.common.distributed import processes, replicated, share
from stages.common.model import lr_groups
from stages.common.params import Block
from stages.common.whole_batch import whole_batch

WARMUP = {"onecycle": 0.2, "cosine": 0.05}  # share of the steps in which the learning rate rises
SHORTEST = 6  # steps of a schedule; where there are fewer, it ends early. OneCycleLR divides by zero at 5.
START = 1 / 25  # of the highest learning rate, in the first step
MOMENTUM = 0.9


class Recipe(Block):
    """SGD with Nesterov momentum, or AdamW; the learning rate rises linearly to `lr` and falls to zero."""

    epochs: Annotated[int, Field(ge=1, le=1000)]
    lr: Annotated[float, Field(gt=0, le=10)]
    weight_decay: Annotated[float, Field(ge=0, le=1)]  # of matrices and kernels; not of biases and batch norm
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    optimizer: Literal["sgd", "adamw"]
    schedule: Literal["onecycle", "cosine"]  # falls linearly, or as a cosine after a shorter rise
    layer_decay: Annotated[float, Field(gt=0, le=1)]  # the head learns at lr, each part below it at this times the last
    ema: Annotated[float, Field(ge=0, lt=1)]  # decay of a moving average of the weights, the result then; 0 is none
    clip: Annotated[float, Field(gt=0, le=1000)] | None  # greatest norm of the gradient
    patience: Annotated[int, Field(ge=1, le=1000)] | None  # epochs without a better accuracy before it stops


class Learner:
    """A network with all that changes its weights; `judged` is the network, or its moving average, to be kept."""

    def __init__(self, network: nn.Module, recipe: Recipe, steps: int) -> None:
        """steps: how many there will be, for the schedule."""
        self._network = network
        self._recipe = recipe
        self._optimizer = _optimizer(network, recipe)
        self._schedule = _schedule(self._optimizer, recipe.schedule, max(SHORTEST, steps))
        self._average = None
        if recipe.ema:
            self._average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True)
        self.judged = self._average.module if recipe.ema else network
        self._replica = replicated(network)

    @property
    def lr(self) -> float:
        """The head's, in the next step."""
        return self._schedule.get_last_lr()[0]

    def step(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """targets: int64 classes (B,), or their shares (B, C). Returns the mean loss, before the step.

        Where several processes share the batch, each is given all of it and learns from its own rows; the loss is then
        its part of the mean, which is the average of all parts.
        """
        count = len(targets)
        own = share(count)
        with autocast(), whole_batch(count):
            logits = self._replica(inputs[own]).float()
            loss = F.cross_entropy(logits, targets[own], label_smoothing=self._recipe.label_smoothing)
            loss = loss * (processes() * len(logits) / count)
        self._optimizer.zero_grad()
        loss.backward()
        if self._recipe.clip:
            nn.utils.clip_grad_norm_(self._network.parameters(), self._recipe.clip)
        self._optimizer.step()
        self._schedule.step()
        if self._average:
            self._average.update_parameters(self._network)
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        parts = {"network": self._network, "optimizer": self._optimizer, "schedule": self._schedule}
        return parts | ({"average": self._average} if self._average else {})


def _optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    groups = []
    for depth, parameters in enumerate(lr_groups(network)):
        lr = recipe.lr * recipe.layer_decay**depth
        groups += [
            {"params": [p for p in parameters if p.ndim > 1], "lr": lr, "weight_decay": recipe.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "lr": lr, "weight_decay": 0.0},
        ]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, fused=True)
    return torch.optim.SGD(groups, momentum=MOMENTUM, nesterov=True, foreach=True)


def _schedule(optimizer: torch.optim.Optimizer, name: str, steps: int) -> LRScheduler:
    if name == "onecycle":
        return OneCycleLR(
            optimizer,
            max_lr=[group["lr"] for group in optimizer.param_groups],
            total_steps=steps,
            pct_start=WARMUP[name],
            div_factor=1 / START,
            anneal_strategy="linear",
            cycle_momentum=False,
        )
    rise = max(1, round(WARMUP[name] * steps))
    parts = [LinearLR(optimizer, START, total_iters=rise), CosineAnnealingLR(optimizer, T_max=steps - rise)]
    return SequentialLR(optimizer, parts, milestones=[rise])
