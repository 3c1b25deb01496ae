"""The training loop: epochs over cached features or augmented images; the best epoch is kept."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, NamedTuple, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from study.data.splits import Examples
from study.features.augment import BatchAugment, augmented, mixed
from study.features.augmix import augmix
from study.networks.classifier import Classifier
from study.networks.device import device
from study.networks.inference import predict
from study.training.checkpoints import Checkpoints
from study.training.processes import averaged, from_leader, leads
from study.training.recipe import Learner, Phase, Recipe

BatchSize = Annotated[int, Field(ge=2, le=65536)]
Judge = Callable[[nn.Module, Examples], tuple[float, float]]


class Batches:
    """Shuffled epochs over all examples. A short last batch is dropped unless it is the only one."""

    def __init__(
        self, take: Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]], count: int, batch_size: int
    ) -> None:
        """take: returns inputs and targets, given their indices (B,) and the generator of all randomness."""
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
    """Batches with a random view of each example. inputs: float16 (views, N, ...)."""
    examples, labels = _at_hand(train.inputs), _at_hand(train.labels)

    def take(index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        view = torch.randint(len(examples), index.shape, generator=generator)
        return examples[view, index].to(device()).float(), labels[index].to(device())

    return Batches(take, len(labels), batch_size)


def over_images(train: Examples, batch_size: int, augment: BatchAugment, consistency: bool = False) -> Batches:
    """Batches of freshly augmented images. inputs: uint8 (N, H, W, 3); labels: every class must occur.

    consistency: each image is (3, H, W, 3): without AugMix, and twice with it.
    """
    images, labels = _at_hand(train.inputs), _at_hand(train.labels)
    classes = int(train.labels.max()) + 1

    def take(index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        if consistency:
            plain = augmented(images[index].to(device()), augment.model_copy(update={"augmix": False}), generator)
            copies = [plain, augmix(plain, generator), augmix(plain, generator)]
            return torch.stack(copies, dim=1), labels[index].to(device())
        views = augmented(images[index].to(device()), augment, generator)
        return mixed(views, labels[index].to(device()), augment, classes, generator)

    return Batches(take, len(labels), batch_size)


def _at_hand(array: np.ndarray) -> Tensor:
    """The array on the GPU, if it fits half of the free memory there; else where it is, in memory or in its file."""
    tensor = torch.from_numpy(array)
    fits = torch.cuda.is_available() and array.nbytes <= torch.cuda.mem_get_info()[0] / 2
    return tensor.to(device()) if fits else tensor


def loss_and_accuracy(network: nn.Module, examples: Examples) -> tuple[float, float]:
    """Mean cross-entropy in nats and accuracy in [0, 1]."""
    logits = torch.from_numpy(predict(network, examples.inputs))
    targets = torch.from_numpy(examples.labels)
    accuracy = (logits.argmax(1) == targets).double().mean()
    return F.cross_entropy(logits, targets).item(), accuracy.item()


class Training(NamedTuple):
    """What all phases of a training share."""

    recipe: Recipe
    seed: int
    checkpoints: Checkpoints
    judge: Judge = loss_and_accuracy


def fit(
    network: nn.Module,
    batches: Batches,
    selection: Examples,
    phase: Phase,
    name: str,
    training: Training,
    layer_decay: float = 1.0,
    image_sizes: Sequence[int] | None = None,
) -> list[dict[str, Any]]:
    """Train `network` and leave it with the weights of its best epoch, averaged if the recipe says so.

    The best epoch has the highest accuracy on `selection`, the later one of equals. name: the phase's, in the curve and
    among the checkpoints. A phase found in `checkpoints` resumes after its last finished epoch, and ends as if it had
    never been interrupted. Processes that share a training all call this with the same arguments; the leader judges
    and writes. layer_decay: as in LayerDecay. image_sizes: the resolution at which each epoch trains a Classifier, in
    pixels per side; it is judged, and left, at its own.
    Returns the learning curve, a row per epoch: phase, epoch, lr, train_loss, val_loss, val_accuracy, seconds.
    """
    network.to(device())
    recipe, seed, checkpoints, judge = training
    generator = torch.Generator().manual_seed(seed)
    learner = Learner(network, recipe, phase, phase.epochs * len(batches), layer_decay)
    curve: list[dict[str, Any]] = []
    best: dict[str, Tensor] = {}
    if saved := from_leader(lambda: checkpoints.load(name)):
        curve, best = saved["curve"], saved["best"]
        learner.load_state_dict(saved["learner"])
        generator.set_state(saved["generator"])
        _set_global_random_state(saved["random"])
        print(f"{name}: carrying on after epoch {len(curve)} of {phase.epochs}", flush=True)
    print(f"{'phase':>7} {'epoch':>7}  {'px':>3}  {'lr':>7}  train loss  val loss  val accuracy  seconds", flush=True)
    while len(curve) < phase.epochs and not _out_of_patience(curve, recipe.patience):
        _set_global_random_state(from_leader(_global_random_state))
        start = time.perf_counter()
        row = {"phase": name, "epoch": len(curve) + 1, "lr": learner.lr}
        size = image_sizes[len(curve)] if image_sizes else None
        with _at(network, size):
            row["train_loss"] = _train_epoch(network, batches, generator, learner)
        row["val_loss"], row["val_accuracy"] = from_leader(lambda: judge(learner.judged, selection))
        row["seconds"] = time.perf_counter() - start
        curve.append(row)
        print(
            f"{name:>7} {row['epoch']:>3}/{phase.epochs:<3}  {size or '':>3}  {row['lr']:7.5f}  "
            f"{row['train_loss']:10.4f}  {row['val_loss']:8.4f}  {row['val_accuracy']:12.4f}  {row['seconds']:7.1f}",
            flush=True,
        )
        if row["val_accuracy"] >= max(row["val_accuracy"] for row in curve):
            best = {name: tensor.clone() for name, tensor in learner.judged.state_dict().items()}
        random = {"generator": generator.get_state(), "random": _global_random_state()}
        if leads():
            checkpoints.save(name, {"curve": curve, "best": best, "learner": learner.state_dict(), **random})
    network.load_state_dict(best)
    return curve


@contextmanager
def _at(network: nn.Module, image_size: int | None) -> Iterator[None]:
    """Let a Classifier work at another resolution for a while; None leaves it as it is."""
    if image_size is None:
        yield
        return
    classifier = cast(Classifier, network)
    own, classifier.image_size = classifier.image_size, image_size
    try:
        yield
    finally:
        classifier.image_size = own


def _out_of_patience(curve: list[dict[str, Any]], patience: int | None) -> bool:
    accuracies = [row["val_accuracy"] for row in curve]
    if patience is None or not accuracies:
        return False
    return len(accuracies) - 1 - accuracies.index(max(accuracies)) >= patience


def _global_random_state() -> list[Tensor]:
    """The states that dropout draws from: the CPU's generator, then the GPU's of this process."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if torch.cuda.is_available() else [])]


def _set_global_random_state(states: list[Tensor]) -> None:
    cpu, *gpu = states
    torch.set_rng_state(cpu)
    for state in gpu:
        torch.cuda.set_rng_state(state)


def _train_epoch(network: nn.Module, batches: Batches, generator: torch.Generator, learner: Learner) -> float:
    """One pass over the training examples. Returns their mean loss."""
    network.train()
    epoch = tqdm(batches.epoch(generator), total=len(batches), leave=False, disable=None if leads() else True)
    return averaged(torch.stack([learner.step(inputs, targets) for inputs, targets in epoch])).mean().item()
