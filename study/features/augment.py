"""Augmentation of whole batches, each kind on or off. Every draw comes from the given generator."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Self

import torch
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from torch import Tensor
from torch.nn import functional as F

from study.data.splits import Facts
from study.features.augmix import augmix
from study.pipeline.params import Block
from study.pipeline.torchvision_shim import torchvision

v2 = torchvision.transforms.v2

PAD = 4  # pixels on each side, the usual amount for 32-pixel images
SHARING = 4  # images that share a draw of RandAugment and Cutout; a draw per image takes nearly four times as long
GREY = (124, 116, 104)  # ImageNet's mean colour, zero once normalised: fill colour outside the image

RANDAUGMENT = v2.RandAugment(num_ops=2, magnitude=9, fill=list(GREY))
CUTOUT = v2.RandomErasing(p=0.5, scale=(0.25, 0.25), ratio=(1.0, 1.0), value=GREY)


def _off_or_sampled(alpha: float) -> float:
    if 0 < alpha < 0.01:
        raise PydanticCustomError("alpha", "must be 0 (off) or at least 0.01, below which torch's Beta draws only 1/2")
    return alpha


Alpha = Annotated[float, Field(ge=0, le=100), AfterValidator(_off_or_sampled)]  # of the Beta distribution; 0 is off


class Augment(Block):
    """Augmentation of each image by itself, in this order."""

    crop: bool  # pad by 4 reflected pixels, and crop
    flip: bool  # mirror with probability 1/2, where a mirror image could be an image too
    randaugment: bool  # 2 random operations of torchvision's 14, at its default strength
    cutout: bool  # with probability 1/2, a grey square of half the image's side
    augmix: bool  # mixed with three chains of simple operations on it

    def of(self, facts: Facts) -> Self:
        """What of it suits a dataset: no flip where a mirror image is none of its images."""
        return self.model_copy(update={"flip": self.flip and facts.mirrors})


class BatchAugment(Augment):
    """Augment, then mix the images of a batch and their labels. With both on, each batch gets one of the two."""

    mixup: Alpha
    cutmix: Alpha


def augmented(images: Tensor, augment: Augment, generator: torch.Generator) -> Tensor:
    """Fresh views of images, uint8 (N, H, W, 3). Each SHARING neighbours share their draws of v2's transforms.

    generator: on the CPU, wherever the images are.
    RandAugment: Cubuk et al. 2020. Cutout, in its variant that stays inside the image: DeVries and Taylor 2017.
    """
    if augment.crop or augment.flip:
        images = crop_flip(images, generator, augment.crop, augment.flip)
    transforms = [RANDAUGMENT] * augment.randaugment + [CUTOUT] * augment.cutout
    if transforms:
        transform = v2.Compose(transforms)
        with _global_draws_from(generator):
            groups = [transform(group) for group in images.permute(0, 3, 1, 2).split(SHARING)]
        images = torch.cat(groups).permute(0, 2, 3, 1)
    return augmix(images, generator) if augment.augmix else images


def mixed(
    images: Tensor, labels: Tensor, augment: BatchAugment, classes: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Each image, uint8 (N, H, W, 3), blended with the one before it (mixup) or with a patch of it (cutmix).

    labels: int64 (N,). Returns images like the given ones and class shares (N, classes), float32; with both off, the
    given images and labels. Zhang et al. 2018; Yun et al. 2019.
    """
    kinds = {v2.MixUp: augment.mixup, v2.CutMix: augment.cutmix}
    transforms = [kind(alpha=alpha, num_classes=classes) for kind, alpha in kinds.items() if alpha]
    if not transforms:
        return images, labels
    with _global_draws_from(generator):
        pixels, shares = v2.RandomChoice(transforms)(images.permute(0, 3, 1, 2).float(), labels)
    return pixels.round().to(torch.uint8).permute(0, 2, 3, 1), shares


def crop_flip(images: Tensor, generator: torch.Generator, crop: bool = True, flip: bool = True) -> Tensor:
    """Each image (N, H, W, 3), uint8, shifted by up to PAD pixels (crop) and mirrored with probability 1/2 (flip)."""
    count, height, width, _ = images.shape
    padded = F.pad(images.permute(0, 3, 1, 2).float(), (PAD,) * 4, mode="reflect").to(torch.uint8)

    def offsets(size: int) -> Tensor:
        start = torch.randint(0, 2 * PAD + 1, (count, 1), generator=generator) if crop else torch.tensor([[PAD]])
        return start + torch.arange(size)

    rows, columns = offsets(height).expand(count, -1), offsets(width).expand(count, -1)
    if flip:
        mirrored = torch.rand(count, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    index = (torch.arange(count)[:, None, None], slice(None), rows[:, :, None], columns[:, None, :])
    return padded[tuple(part.to(images.device) if isinstance(part, Tensor) else part for part in index)]


@contextmanager
def _global_draws_from(generator: torch.Generator) -> Iterator[None]:
    """Lend the generator's state to torch's global one, which torchvision draws from, and advance the generator."""
    outside = torch.get_rng_state()
    torch.set_rng_state(generator.get_state())
    try:
        yield
    finally:
        generator.set_state(torch.get_rng_state())
        torch.set_rng_state(outside)
