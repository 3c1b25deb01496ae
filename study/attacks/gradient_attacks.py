"""Adversarial images: small changes of every pixel that fool a classifier.

An attack may change each stored value of an image by at most epsilon of 255. It returns uint8 images, as a file could
hold them. It attacks the whole classifier, including resizing and normalisation.

Every attack raises the margin, which is the best wrong logit minus the right one. The cross-entropy would depend on the
temperature, and in float32 its gradient is exactly zero where the classifier is very sure. All is float32: bfloat16 is
too coarse for the signs of small gradients.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError
from torch import Tensor, nn

from study.networks.device import device
from study.pipeline.params import Block, Seed

BATCH = 50  # images
STEP = 2  # of 255: the step size of PGD, or half of epsilon if that is less


class Adversarial(Block):
    """`adversarial`: how many images to attack, and how hard."""

    images: Annotated[int, Field(ge=10, le=1_000_000)]
    epsilons: Annotated[list[Annotated[int, Field(ge=1, le=255)]], Field(min_length=1)]  # of 255
    steps: Annotated[int, Field(ge=1, le=1000)]  # of projected gradient descent
    seed: Seed

    @field_validator("epsilons")
    @classmethod
    def _rising(cls, epsilons: list[int]) -> list[int]:
        if any(low >= high for low, high in pairwise(epsilons)):
            raise PydanticCustomError("not_rising", "list them from the smallest to the largest, each once")
        return epsilons


class Tempered(nn.Module):
    """A network whose logits are divided by a temperature."""

    def __init__(self, network: nn.Module, temperature: float) -> None:
        super().__init__()
        self.network, self.temperature = network, temperature

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        return logits / self.temperature


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """The best wrong logit minus the right one: (N,), above 0 if the image is misclassified.

    logits: (N, C); labels: int64 (N,).

    >>> margins(torch.tensor([[1.0, 4.0, 2.0], [1.0, 4.0, 2.0]]), torch.tensor([1, 2]))
    tensor([-2.,  2.])
    """
    right = labels[:, None]
    return logits.scatter(1, right, -torch.inf).amax(dim=1) - logits.gather(1, right)[:, 0]


class Attacked(NamedTuple):
    """Images after an attack, uint8 (N, H, W, 3)."""

    attack: Literal["clean", "noise", "fgsm", "pgd"]
    epsilon: int  # of 255
    images: np.ndarray
    zero_gradients: float | None = None  # share of images with a gradient of zero; None without gradients


def attacks(network: nn.Module, images: np.ndarray, labels: np.ndarray, block: Adversarial) -> Iterator[Attacked]:
    """Yield the clean images, then every attack at every epsilon. images: uint8 (N, H, W, 3); labels: int64 (N,).

    FGSM takes the gradient at the image itself, so one gradient serves every epsilon. PGD starts from the noise.
    """
    yield Attacked("clean", 0, images)
    directions = ascent(network, images, labels)
    without = float(1 - directions.any(axis=(1, 2, 3)).mean())
    for epsilon in block.epsilons:
        noisy = uniform_noise(images, epsilon, block.seed)
        yield Attacked("noise", epsilon, noisy)
        yield Attacked("fgsm", epsilon, fgsm(images, directions, epsilon), without)
        attacked, flat = pgd(network, images, labels, noisy, epsilon, block.steps)
        yield Attacked("pgd", epsilon, attacked, float(flat.mean()))


def logits(network: nn.Module, images: np.ndarray) -> np.ndarray:
    """Float32 (N, C), in the precision of the attacks. images: uint8 (N, H, W, 3)."""
    network = _frozen(network)
    return torch.cat([network(some).cpu() for some in torch.from_numpy(images).to(device()).split(BATCH)]).numpy()


def uniform_noise(images: np.ndarray, epsilon: int, seed: int) -> np.ndarray:
    """Add a uniform integer from [-epsilon, epsilon] to each value, and clip. images: uint8."""
    moves = np.random.default_rng([seed, epsilon]).integers(-epsilon, epsilon, images.shape, endpoint=True)
    return np.clip(images + moves, 0, 255).astype(np.uint8)


def ascent(network: nn.Module, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The sign of the margin's gradient with respect to each value: int8 (1, -1 or 0), in the shape of `images`.

    network: maps images (N, H, W, 3) to logits (N, C); images: uint8; labels: int64 (N,). It serves every epsilon.
    """
    network = _frozen(network)
    batches = (torch.from_numpy(array).to(device()).split(BATCH) for array in (images, labels))
    signs = [_slope(network, some.float(), of)[1] for some, of in zip(*batches, strict=True)]
    return torch.cat(signs).to(torch.int8).cpu().numpy()


def fgsm(images: np.ndarray, directions: np.ndarray, epsilon: int) -> np.ndarray:
    """The fast gradient sign method: move every value of `images`, uint8, by epsilon in the direction from `ascent`.

    Goodfellow et al. 2015, "Explaining and Harnessing Adversarial Examples".
    """
    return np.clip(images + epsilon * directions.astype(np.int16), 0, 255).astype(np.uint8)


def pgd(
    network: nn.Module, images: np.ndarray, labels: np.ndarray, start: np.ndarray, epsilon: int, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Projected gradient descent: up to `steps` steps along the gradient's sign, within epsilon of the image.

    A step is STEP, or half of epsilon if that is less (a step of epsilon would reach only the corners), and at least 1.
    An image takes no further step once it is misclassified. start: uint8 like `images`, within epsilon of them; usually
    uniform noise. All values are whole numbers, which uint8 can hold.
    Returns the attacked images, uint8, and whether a gradient of each was all zero: bool (N,).
    Madry et al. 2018, "Towards Deep Learning Models Resistant to Adversarial Attacks".
    """
    network = _frozen(network)
    batches = (torch.from_numpy(array).to(device()).split(BATCH) for array in (images, labels, start))
    ends = [_descend(network, some, of, begin, epsilon, steps) for some, of, begin in zip(*batches, strict=True)]
    attacked, flat = (torch.cat(parts).cpu().numpy() for parts in zip(*ends, strict=True))
    return attacked, flat


def _descend(
    network: nn.Module, images: Tensor, labels: Tensor, start: Tensor, epsilon: int, steps: int
) -> tuple[Tensor, Tensor]:
    step = min(STEP, max(1, epsilon // 2))
    images, now = images.float(), start.float()
    lowest, highest = (images - epsilon).clamp(min=0), (images + epsilon).clamp(max=255)
    flat = torch.zeros_like(labels, dtype=torch.bool)
    left = torch.arange(len(labels), device=labels.device)  # the images that are still classified right
    for _ in range(steps):
        lead, signs = _slope(network, now[left], labels[left])
        flat[left] |= ~signs.flatten(1).any(dim=1)
        left, signs = left[lead <= 0], signs[lead <= 0]
        if not len(left):
            break
        now[left] = (now[left] + step * signs).clamp(lowest[left], highest[left])
    return now.to(torch.uint8), flat


def _frozen(network: nn.Module) -> nn.Module:
    """The network in evaluation mode, without gradients for its parameters."""
    return network.to(device()).eval().requires_grad_(False)


def _slope(network: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The margins (N,) of float images in [0, 255], and the sign of each margin's gradient by its image."""
    images.requires_grad_()
    lead = margins(network(images), labels)
    # In evaluation mode images are independent, so the sum's gradient holds each image's own.
    (gradient,) = torch.autograd.grad(lead.sum(), images)
    return lead.detach(), gradient.sign()
