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

from stages.common.augment import Augment, BatchAugment, augmented, mixed
from stages.common.checkpoints import Checkpoints
from stages.common.device import device
from stages.common.distributed import averaged, from_leader, joined, leads, share
from stages.common.examples import Examples
from stages.common.features import Views
from stages.common.model import ImageSize
from stages.common.optimisation import Learner, Recipe
from stages.common.params import Block, Seed
from stages.common.predict import predict

BatchSize = Annotated[int, Field(ge=2, le=65536)]


class ImageRecipe(Recipe):
    """The recipe of a training over images, which can be augmented anew in every epoch."""

    augment: BatchAugment
    processes: Annotated[int, Field(ge=1, le=1024)]  # that share every batch


class Common(Block):
    """`train.common`: what the three depths share."""

    image_size: ImageSize
    views: Views
    augment: Augment  # of the views behind the first, which is the image itself
    batch_size: BatchSize
    seed: Seed
    probe: Recipe  # phase one of layer4 and full: the head alone, on the frozen backbone


class ScratchRecipe(ImageRecipe):
    """`train.scratch`: it shares nothing with the trainings that start from a backbone."""

    image_size: ImageSize
    batch_size: BatchSize
    seed: Seed


class Batches:
    """Shuffled epochs in which every example comes once; a short last batch is dropped unless it is the only one."""

    def __init__(
        self, take: Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]], count: int, batch_size: int
    ) -> None:
        """take: inputs and targets of these examples, given their indices (B,) and the source of all randomness."""
        self._take = take
        self._count = count
        self._batch_size = min(batch_size, count)

    def __len__(self) -> int:
        return self._count // self._batch_size

    def epoch(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(self._count, generator=generator)
        for index in order[: len(self) * self._batch_size].split(self._batch_size):
            yield self._take(index, generator)


def over_views(train: Examples, batch_size: int) -> Batches:
    """Each example in a random one of its views. inputs: float16 (views, N, ...)."""
    examples, labels = _at_hand(train.inputs), _at_hand(train.labels)

    def take(index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        view = torch.randint(len(examples), index.shape, generator=generator)
        return examples[view, index].to(device()).float(), labels[index].to(device())

    return Batches(take, len(labels), batch_size)


def over_images(train: Examples, batch_size: int, augment: BatchAugment) -> Batches:
    """Each image freshly augmented. inputs: uint8 (N, H, W, 3); labels: every class occurs."""
    images, labels = _at_hand(train.inputs), _at_hand(train.labels)
    classes = int(train.labels.max()) + 1

    def take(index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        views = augmented(images[index].to(device()), augment, generator)
        return mixed(views, labels[index].to(device()), augment, classes, generator)

    return Batches(take, len(labels), batch_size)


def _at_hand(array: np.ndarray) -> Tensor:
    """On the GPU, if it fills no more than half of what is free there; else where it is, in memory or in its file."""
    tensor = torch.from_numpy(array)
    fits = torch.cuda.is_available() and array.nbytes <= torch.cuda.mem_get_info()[0] / 2
    return tensor.to(device()) if fits else tensor


def fit(
    network: nn.Module,
    batches: Batches,
    selection: Examples,
    recipe: Recipe,
    seed: int,
    phase: str,
    checkpoints: Checkpoints,
) -> list[dict]:
    """Train `network`; leave it with the weights, averaged where the recipe says so, of its best epoch.

    selection: what judges every epoch; the best has the highest accuracy, the later of equals. A phase that
    `checkpoints` knows goes on from its last finished epoch, and ends as if it had never been interrupted. Processes
    that share a training all call this with the same arguments; `checkpoints` are the leader's.
    Returns the learning curve, a row per epoch: phase, epoch, lr, train_loss, val_loss, val_accuracy, seconds.
    """
    network.to(device())
    generator = torch.Generator().manual_seed(seed)
    learner = Learner(network, recipe, recipe.epochs * len(batches))
    curve: list[dict] = []
    best: dict[str, Tensor] = {}
    if saved := from_leader(lambda: checkpoints.load(phase)):
        curve, best = saved["curve"], saved["best"]
        learner.load_state_dict(saved["learner"])
        generator.set_state(saved["generator"])
        _set_global_random_state(saved["random"])
        print(f"{phase}: carrying on after epoch {len(curve)} of {recipe.epochs}", flush=True)
    print(f"{'phase':>6} {'epoch':>7}  {'lr':>7}  train loss  val loss  val accuracy  seconds", flush=True)
    while len(curve) < recipe.epochs and not _out_of_patience(curve, recipe):
        start = time.perf_counter()
        row = {"phase": phase, "epoch": len(curve) + 1, "lr": learner.lr}
        row["train_loss"] = _train_epoch(network, batches, generator, learner)
        row["val_loss"], row["val_accuracy"] = judge(learner.judged, selection)
        row["seconds"] = time.perf_counter() - start
        curve.append(row)
        print(
            f"{phase:>6} {row['epoch']:>3}/{recipe.epochs:<3}  {row['lr']:7.5f}  {row['train_loss']:10.4f}  "
            f"{row['val_loss']:8.4f}  {row['val_accuracy']:12.4f}  {row['seconds']:7.1f}",
            flush=True,
        )
        if row["val_accuracy"] >= max(row["val_accuracy"] for row in curve):
            best = {name: tensor.clone() for name, tensor in learner.judged.state_dict().items()}
        random = {"generator": generator.get_state(), "random": _global_random_state()}
        if leads():
            checkpoints.save(phase, {"curve": curve, "best": best, "learner": learner.state_dict(), **random})
    network.load_state_dict(best)
    return curve


def _out_of_patience(curve: list[dict], recipe: Recipe) -> bool:
    accuracies = [row["val_accuracy"] for row in curve]
    if recipe.patience is None or not accuracies:
        return False
    return len(accuracies) - 1 - accuracies.index(max(accuracies)) >= recipe.patience


def _global_random_state() -> list[Tensor]:
    """What dropout draws from: the CPU's generator, then this process's GPU's."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if torch.cuda.is_available() else [])]


def _set_global_random_state(states: list[Tensor]) -> None:
    cpu, *gpu = states
    torch.set_rng_state(cpu)
    for state in gpu:
        torch.cuda.set_rng_state(state)


def judge(network: nn.Module, examples: Examples) -> tuple[float, float]:
    """Mean cross-entropy in nats and accuracy in [0, 1]."""
    logits = torch.from_numpy(joined(predict(network, examples.inputs[share(len(examples.labels))])))
    targets = torch.from_numpy(examples.labels)
    accuracy = (logits.argmax(1) == targets).double().mean()
    return F.cross_entropy(logits, targets).item(), accuracy.item()


def _train_epoch(network: nn.Module, batches: Batches, generator: torch.Generator, learner: Learner) -> float:
    """One pass over the training examples. Returns their mean loss."""
    network.train()
    epoch = tqdm(batches.epoch(generator), total=len(batches), leave=False, disable=None if leads() else True)
    return averaged(torch.stack([learner.step(inputs, targets) for inputs, targets in epoch])).mean().item()
