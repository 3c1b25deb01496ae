"""Augmentation of whole batches at once: a reflected pad, a random crop and a random flip."""

import torch
from torch import Tensor
from torch.nn import functional as F

PAD = 4  # pixels on each side, the usual amount for 32-pixel images


def pad_crop_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image (N, H, W, 3), uint8, shifted by up to PAD pixels and mirrored with probability 1/2."""
    count, height, width, _ = images.shape
    padded = F.pad(images.permute(0, 3, 1, 2).float(), (PAD,) * 4, mode="reflect").to(torch.uint8)

    def offsets(size: int) -> Tensor:
        start = torch.randint(0, 2 * PAD + 1, (count, 1), generator=generator)
        return start + torch.arange(size)

    rows, columns = offsets(height), offsets(width)
    mirrored = torch.rand(count, 1, generator=generator) < 0.5
    columns = torch.where(mirrored, columns.flip(1), columns)
    index = (torch.arange(count)[:, None, None], slice(None), rows[:, :, None], columns[:, None, :])
    return padded[tuple(part.to(images.device) if isinstance(part, Tensor) else part for part in index)]
