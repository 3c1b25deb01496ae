"""Batch-norm statistics adapted to the images at hand, without labels and without training.

Schneider et al. 2020, "Improving Robustness Against Common Corruptions by Covariate Shift Adaptation"; Nado et al.
2020, "Evaluating Prediction-Time Batch Normalization".
"""

import copy
from typing import Annotated

import torch
from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError
from torch import Tensor, nn
from torch.func import functional_call

from study.pipeline.params import Block


class Adapt(Block):
    """`adapt`: batch-norm statistics re-estimated on corrupted images."""

    images: Annotated[int, Field(ge=10, le=1_000_000)]  # at most, of those of corrupt_eval, under each condition
    batch_sizes: Annotated[
        list[Annotated[int, Field(ge=2, le=10_000)]], Field(min_length=1, max_length=10)
    ]  # at most `images`
    pseudo_count: Annotated[float, Field(ge=0, le=1_000_000)]  # images that the training's statistics count for

    @field_validator("batch_sizes")
    @classmethod
    def _rising(cls, sizes: list[int]) -> list[int]:
        if sizes != sorted(set(sizes)):
            raise PydanticCustomError("order", "batch sizes must rise")
        return sizes


class AdaptedBatchNorm(nn.Module):
    """Batch norm by a mixture of the statistics that were learned and those of the batch at hand.

    With a pseudo-count N and a batch of n images, the learned mean and variance have weight N / (N + n). What a
    subclass of BatchNorm2d does besides, such as timm's activation, stays.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, learned: nn.BatchNorm2d, pseudo_count: float) -> None:
        super().__init__()
        self.learned, self.pseudo_count = learned, pseudo_count
        self.register_buffer("mean", learned.running_mean)
        self.register_buffer("variance", learned.running_var)

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (N, C, h, w) to the same."""
        share = self.pseudo_count / (self.pseudo_count + len(maps))
        variance, mean = torch.var_mean(maps.float(), dim=(0, 2, 3), correction=0)
        mean, variance = torch.lerp(mean, self.mean, share), torch.lerp(variance, self.variance, share)
        mixed = {"running_mean": mean, "running_var": variance}
        normalised: Tensor = functional_call(self.learned, mixed, (maps,))
        return normalised


def adapted(network: nn.Module, pseudo_count: float) -> nn.Module:
    """A copy of `network`, in evaluation mode, whose every BatchNorm2d is an AdaptedBatchNorm.

    Its answer to an image depends on the batch that the image stands in.
    """
    network = copy.deepcopy(network).eval()
    for parent in list(network.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, nn.BatchNorm2d):
                setattr(parent, name, AdaptedBatchNorm(layer, pseudo_count))
    return network.eval()
