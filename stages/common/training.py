"""Training: one recipe for every freezing depth, over cached features or over augmented images."""

import time
from collections.abc import Callable, Iterator
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from stages.common.augment import pad_crop_flip
from stages.common.checkpoints import Checkpoints
from stages.common.device import autocast, device
from stages.common.examples import Examples
from stages.common.features import Views
from stages.common.model import ImageSize
from stages.common.params import Block, Seed
from stages.common.predict import predict

WARMUP = 0.2  # share of the steps in which the learning rate rises
MOMENTUM = 0.9


class Recipe(Block):
    """SGD with Nesterov momentum; the learning rate rises linearly to `lr` and falls linearly to zero."""

    epochs: Annotated[int, Field(ge=1, le=1000)]
    lr: Annotated[float, Field(gt=0, le=10)]
    weight_decay: Annotated[float, Field(ge=0, le=1)]  # of matrices and kernels; not of biases and batch norm
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]


class Common(Block):
    """`train.common`: what the three depths share."""

    image_size: ImageSize
    views: Views
    batch_size: Annotated[int, Field(ge=2, le=65536)]
    seed: Seed
    probe: Recipe  # phase one of layer4 and full: the head alone, on the frozen backbone


class Batches:
    """Shuffled epochs in which every example comes once; a short last batch is dropped unless it is the only one."""

    def __init__(self, take: Callable[[Tensor, torch.Generator], Tensor], labels: np.ndarray, batch_size: int) -> None:
        """take: the inputs of these examples, given their indices (B,) and the source of all randomness."""
        self._take = take
        self._labels = _resident(labels)
        self._batch_size = min(batch_size, len(labels))

    def __len__(self) -> int:
        return len(self._labels) // self._batch_size

    def epoch(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self._labels), generator=generator)
        for index in order[: len(self) * self._batch_size].split(self._batch_size):
            yield self._take(index, generator), self._labels[index]


def over_views(train: Examples, batch_size: int) -> Batches:
    """Each example in a random one of its views. inputs: float16 (views, N, ...)."""
    examples = _resident(train.inputs)

    def take(index: Tensor, generator: torch.Generator) -> Tensor:
        view = torch.randint(len(examples), index.shape, generator=generator)
        return examples[view, index].float()

    return Batches(take, train.labels, batch_size)


def over_images(train: Examples, batch_size: int) -> Batches:
    """Each image freshly cropped and flipped. inputs: uint8 (N, H, W, 3)."""
    images = _resident(train.inputs)
    return Batches(lambda index, generator: pad_crop_flip(images[index], generator), train.labels, batch_size)


def _resident(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array).to(device())


def fit(
    network: nn.Module,
    batches: Batches,
    selection: Examples,
    recipe: Recipe,
    seed: int,
    phase: str,
    checkpoints: Checkpoints,
) -> list[dict]:
    """Train the parameters of `network` that require gradients; leave it with the weights of its best epoch.

    selection: what judges every epoch; the best has the highest accuracy, the later of equals. A phase that
    `checkpoints` knows goes on from its last finished epoch, and ends as if it had never been interrupted.
    Returns the learning curve, a row per epoch: phase, epoch, lr, train_loss, val_loss, val_accuracy, seconds.
    """
    network.to(device())
    generator = torch.Generator().manual_seed(seed)
    optimizer = _optimizer(network, recipe)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=recipe.lr,
        total_steps=max(2, recipe.epochs * len(batches)),
        pct_start=WARMUP,
        anneal_strategy="linear",
        cycle_momentum=False,
    )
    stateful = {"network": network, "optimizer": optimizer, "schedule": schedule}
    curve: list[dict] = []
    best: dict[str, Tensor] = {}
    if saved := checkpoints.load(phase):
        curve, best = saved["curve"], saved["best"]
        for name, part in stateful.items():
            part.load_state_dict(saved[name])
        generator.set_state(saved["generator"])
        _set_global_random_state(saved["random"])
        print(f"{phase}: carrying on after epoch {len(curve)} of {recipe.epochs}", flush=True)
    print(f"{'phase':>6} {'epoch':>7}  {'lr':>7}  train loss  val loss  val accuracy  seconds", flush=True)
    for epoch in range(len(curve) + 1, recipe.epochs + 1):
        start = time.perf_counter()
        lr = schedule.get_last_lr()[0]
        train_loss = _train_epoch(network, batches, generator, optimizer, schedule, recipe)
        val_loss, val_accuracy = judge(network, selection)
        seconds = time.perf_counter() - start
        curve.append(
            {
                "phase": phase,
                "epoch": epoch,
                "lr": lr,
                "train_loss": train_loss,
                "val_loss": val_loss,
                "val_accuracy": val_accuracy,
                "seconds": seconds,
            }
        )
        print(
            f"{phase:>6} {epoch:>3}/{recipe.epochs:<3}  {lr:7.5f}  {train_loss:10.4f}  {val_loss:8.4f}  "
            f"{val_accuracy:12.4f}  {seconds:7.1f}",
            flush=True,
        )
        if val_accuracy >= max(row["val_accuracy"] for row in curve):
            best = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        state = {name: part.state_dict() for name, part in stateful.items()}
        random = {"generator": generator.get_state(), "random": _global_random_state()}
        checkpoints.save(phase, {"curve": curve, "best": best, **state, **random})
    network.load_state_dict(best)
    return curve


def _global_random_state() -> list[Tensor]:
    """What dropout draws from: the CPU's generator, then each GPU's."""
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [])]


def _set_global_random_state(states: list[Tensor]) -> None:
    cpu, *gpus = states
    torch.set_rng_state(cpu)
    if gpus:
        torch.cuda.set_rng_state_all(gpus)


def judge(network: nn.Module, examples: Examples) -> tuple[float, float]:
    """Mean cross-entropy in nats and accuracy in [0, 1]."""
    logits = torch.from_numpy(predict(network, examples.inputs))
    targets = torch.from_numpy(examples.labels)
    accuracy = (logits.argmax(1) == targets).double().mean()
    return F.cross_entropy(logits, targets).item(), accuracy.item()


def _optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in learned if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=MOMENTUM, nesterov=True, foreach=True)


def _train_epoch(
    network: nn.Module,
    batches: Batches,
    generator: torch.Generator,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    recipe: Recipe,
) -> float:
    """One pass over the training examples. Returns their mean loss."""
    network.train()
    losses = []
    for inputs, labels in tqdm(batches.epoch(generator), total=len(batches), leave=False, disable=None):
        with autocast():
            loss = F.cross_entropy(network(inputs).float(), labels, label_smoothing=recipe.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())
    return torch.stack(losses).mean().item()
