"""How a network's weights change: the recipe, and the training steps that follow it."""

from typing import Annotated, Any, Literal

import torch
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, OneCycleLR, SequentialLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from study.features.augment import BatchAugment
from study.networks.classifier import ImageSize, by_distance
from study.networks.device import autocast
from study.pipeline.params import Block
from study.training.processes import processes, replicated, share

WARMUP = {"onecycle": 0.2, "cosine": 0.05}  # share of the steps during which the learning rate rises
SHORTEST = 6  # steps of a schedule; a shorter training ends before it does. OneCycleLR divides by zero at 5.
START = 1 / 25  # learning rate of the first step, as a share of the highest
MOMENTUM = 0.9


STEP = 32  # pixels; the stride of a backbone's last map

LayerDecay = Annotated[float, Field(gt=0, le=1)]  # lr of each stage as a multiple of the one above; the head has lr


class Recipe(Block):
    """`train.common.recipe`: what all trainings share. The learning rate rises linearly, then falls to zero."""

    optimizer: Literal["sgd", "adamw"]  # sgd with Nesterov momentum
    schedule: Literal["onecycle", "cosine"]  # linear fall, or cosine fall after a shorter rise
    ema: Annotated[float, Field(ge=0, lt=1)]  # decay of the moving average of the weights that is kept; 0 is off
    clip: Annotated[float, Field(gt=0, le=1000)] | None  # largest norm of the gradient
    patience: Annotated[int, Field(ge=1, le=1000)] | None  # epochs without better accuracy before stopping


class Phase(Block):
    """One phase of a training, such as `train.fc`."""

    epochs: Annotated[int, Field(ge=1, le=1000)]
    lr: Annotated[float, Field(gt=0, le=10)]  # the highest
    weight_decay: Annotated[float, Field(ge=0, le=1)]  # of matrices and kernels, not biases or batch norm
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]


class ImagePhase(Phase):
    """A phase over images, which are augmented anew in every epoch."""

    first_image_size: ImageSize | None  # of the first epoch, from where it rises to the image size; None is that itself
    augment: BatchAugment | None
    consistency: Annotated[float, Field(ge=0, le=100)]  # weight of `divergence` in the loss; 0 is off
    processes: Annotated[int, Field(ge=1, le=1024)]  # each takes its share of every batch

    @model_validator(mode="after")
    def _of_augmix_alone(self) -> "ImagePhase":
        of = self.augment
        if self.consistency and (of is None or not of.augmix or of.mixup or of.cutmix):
            raise PydanticCustomError("consistency", "consistency needs augment.augmix without mixup and cutmix")
        return self


def resolutions(first: int | None, last: int, epochs: int) -> list[int]:
    """Pixels per side for each epoch: multiples of 32 along a straight line from `first`, and at the end `last`.

    Early epochs at a low resolution cost little: Howard 2018, "Training Imagenet in 3 hours for $25".

    >>> resolutions(64, 128, 10)
    [64, 64, 64, 96, 96, 96, 96, 128, 128, 128]
    """
    if first is None:
        return [last] * epochs
    line = (first + (last - first) * epoch / max(1, epochs - 1) for epoch in range(epochs - 1))
    return [*(min(last, STEP * round(size / STEP)) for size in line), last]


def divergence(logits: Tensor) -> Tensor:
    """Jensen-Shannon divergence between the answers to views of an image, in nats, averaged over the images.

    logits: (N, V, C), of V views. Hendrycks et al. 2020, "AugMix".
    """
    logs = logits.log_softmax(2)
    mean = logs.exp().mean(1, keepdim=True).log()
    return (logs.exp() * (logs - mean)).sum(2).mean()


class Learner:
    """A network with its optimizer and schedule. `judged`, the network or its moving average, is evaluated and kept."""

    def __init__(self, network: nn.Module, recipe: Recipe, phase: Phase, steps: int, layer_decay: float = 1.0) -> None:
        """steps: the total number, for the schedule; layer_decay: as in LayerDecay, for the stages of a Classifier."""
        self._network = network
        self._clip = recipe.clip
        self._label_smoothing = phase.label_smoothing
        self._consistency = phase.consistency if isinstance(phase, ImagePhase) else 0.0
        self._optimizer = _optimizer(network, recipe, phase, layer_decay)
        self._schedule = _schedule(self._optimizer, recipe.schedule, max(SHORTEST, steps))
        self._average: AveragedModel | None = None
        if recipe.ema:
            self._average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True)
        self.judged: nn.Module = self._average.module if self._average else network
        self._replica = replicated(network)

    @property
    def lr(self) -> float:
        """The head's learning rate in the next step."""
        return float(self._schedule.get_last_lr()[0])

    def step(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """targets: int64 classes (B,), or class shares (B, C). Returns the mean loss before the step.

        inputs: (B, ...), or with `consistency` (B, V, ...), of which the first view is the image itself.

        Processes that share a batch all receive the whole batch, and each learns from its own rows. The average of
        their losses is the batch's mean loss.
        """
        own = share(len(targets))
        with autocast():
            if self._consistency:
                views = self._replica(inputs[own].flatten(0, 1)).float().unflatten(0, inputs[own].shape[:2])
                logits, penalty = views[:, 0], self._consistency * divergence(views)
            else:
                logits, penalty = self._replica(inputs[own]).float(), torch.zeros(())
            loss = F.cross_entropy(logits, targets[own], label_smoothing=self._label_smoothing) + penalty
            loss = loss * (processes() * len(logits) / len(targets))
        self._optimizer.zero_grad()
        loss.backward()
        if self._clip:
            nn.utils.clip_grad_norm_(self._network.parameters(), self._clip)
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


def _optimizer(network: nn.Module, recipe: Recipe, phase: Phase, layer_decay: float) -> torch.optim.Optimizer:
    groups = []
    for distance, parameters in enumerate(by_distance(network)):
        lr = phase.lr * layer_decay**distance
        groups += [
            {"params": [p for p in parameters if p.ndim > 1], "lr": lr, "weight_decay": phase.weight_decay},
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
