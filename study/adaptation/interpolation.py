"""Networks between two trained ones, in weight space.

Wortsman et al. 2022, "Robust fine-tuning of zero-shot models" (WiSE-FT).
"""

import copy
from typing import Annotated, TypeVar

import numpy as np
import torch
from pydantic import Field
from torch import nn
from torch.optim.swa_utils import update_bn

from study.networks.device import autocast, device
from study.pipeline.params import Block, Seed

Network = TypeVar("Network", bound=nn.Module)

BATCH = 250  # images


class Interpolate(Block):
    """`interpolate`: the networks between `fc` and `full`."""

    shares: Annotated[list[Annotated[float, Field(gt=0, lt=1)]], Field(min_length=1, max_length=20)]  # of `full`
    train_images: Annotated[int, Field(ge=10, le=1_000_000)]  # at most, that batch-norm statistics are estimated on
    images: Annotated[int, Field(ge=10, le=1_000_000)]  # at most, of those of corrupt_eval, under each condition
    seed: Seed


def interpolated(first: Network, second: Network, share: float) -> Network:
    """A copy of `first` with every weight and statistic moved by `share` of the way to that of `second`.

    At 0 and 1 it is the one or the other to the bit. Raises ValueError, naming a tensor, when the networks differ.
    """
    start, end = first.state_dict(), second.state_dict()
    if other := sorted(set(start) ^ set(end)) or [name for name in start if start[name].shape != end[name].shape]:
        raise ValueError(f"these networks cannot be mixed: {other[0]} is not in both, or not of one shape")
    between = copy.deepcopy(first)
    between.load_state_dict(
        {
            name: torch.lerp(tensor, end[name], share)
            if tensor.is_floating_point()
            else (tensor if share < 0.5 else end[name])  # how many batches were tracked
            for name, tensor in start.items()
        }
    )
    return between


def estimate_statistics(network: nn.Module, images: np.ndarray) -> None:
    """Set the statistics of every batch norm to those of `images`, uint8 (N, H, W, 3). Leaves evaluation mode on.

    Between two networks the activations are of another scale than either's: Izmailov et al. 2018 do the same.
    """
    parts = np.array_split(images, -(-len(images) // BATCH))  # equal but for an image: each weighs the same
    with autocast():
        update_bn([torch.from_numpy(part) for part in parts], network.to(device()), device())
    network.eval()
