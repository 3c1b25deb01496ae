"""Augmentation of whole batches on their device: random resized crop and flip, and a passage through CIFAR's size."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

ASPECT = 4 / 3  # crops are at most this much wider than high, or higher than wide, as torchvision's are

CIFAR_SIDE = 32  # pixels


def resized_crop_flip(images: Tensor, side: int, area: tuple[float, float], generator: torch.Generator) -> Tensor:
    """A random rectangle of each image (N, H, W, 3), uint8, as (N, side, side, 3), mirrored with probability 1/2.

    area: the least and the greatest share of the image that a rectangle covers.
    generator: on the images' device.
    """
    count = len(images)

    def uniform(low: float | Tensor, high: float | Tensor) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator, device=images.device)

    share, aspect = uniform(*area), uniform(-math.log(ASPECT), math.log(ASPECT)).exp()
    width, height = (share * aspect).sqrt().clamp(max=1), (share / aspect).sqrt().clamp(max=1)
    x, y = uniform(width - 1, 1 - width), uniform(height - 1, 1 - height)  # centres; the image spans -1 to 1
    mirror = uniform(-1, 1).sign()
    zero = torch.zeros_like(x)
    affine = torch.stack([mirror * width, zero, x, zero, height, y], dim=1).view(count, 2, 3)
    grid = F.affine_grid(affine, [count, 3, side, side], align_corners=False)
    pixels = images.permute(0, 3, 1, 2).float()
    crops = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return crops.permute(0, 2, 3, 1).round().to(torch.uint8)


def shrink(images: Tensor) -> Tensor:
    """The images (N, H, W, 3), uint8, at CIFAR's size, without aliasing: (N, 32, 32, 3)."""
    pixels = images.permute(0, 3, 1, 2).float()
    small = F.interpolate(pixels, size=(CIFAR_SIDE, CIFAR_SIDE), mode="bilinear", antialias=True)
    return small.permute(0, 2, 3, 1).round().to(torch.uint8)
