"""Dropout and batch norm of a batch that several processes share, as one process would compute them."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.autograd import Function
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from stages.common.distributed import share, share_bounds


def whole_batch(count: int) -> AbstractContextManager:
    """While it lasts, a network that is given this process's share of `count` images trains as on all of them."""
    return WholeBatch(count) if dist.is_initialized() else nullcontext()


class WholeBatch(TorchFunctionMode):
    """Dropout draws for all images and keeps this share's draws, so that every process draws what one alone would.

    Batch norm takes its moments from all images. (nn.SyncBatchNorm does the same, on GPUs alone.)
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count

    def __torch_function__(self, function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        ours = {F.dropout: self._dropout, F.batch_norm: self._batch_norm}
        return ours.get(function, function)(*args, **(kwargs or {}))

    def _dropout(self, inputs: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        ones = torch.ones(self._count, *inputs.shape[1:], dtype=inputs.dtype, device=inputs.device)
        return inputs * F.dropout(ones, p, training)[share(self._count)]

    def _batch_norm(
        self,
        maps: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
        weight: Tensor,
        bias: Tensor,
        training: bool,
        momentum: float,
        eps: float,
    ) -> Tensor:
        """maps: (n, C, h, w), n of them this process's."""
        if not training:
            return F.batch_norm(maps, running_mean, running_var, weight, bias, training, momentum, eps)
        with torch.no_grad():
            mean, variance = self._moments(maps, running_mean.dtype)
            values = self._count * maps[0, 0].numel()
            running_mean.lerp_(mean, momentum)
            running_var.lerp_(variance * (values / (values - 1)), momentum)
        return _BatchNorm.apply(maps, weight, bias, mean, variance, values, eps)

    def _moments(self, maps: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Mean and biased variance of each channel over all processes' maps. Chan et al. 1979."""
        variance, mean = torch.var_mean(maps.to(dtype), dim=(0, 2, 3), correction=0)
        everyones = [torch.empty_like(torch.stack([mean, variance])) for _ in range(dist.get_world_size())]
        dist.all_gather(everyones, torch.stack([mean, variance]))
        means, variances = torch.stack(everyones, dim=1)
        weights = torch.tensor(share_bounds(self._count), device=maps.device).diff()[:, None] / self._count
        mean = (weights * means).sum(0)
        return mean, (weights * (variances + (means - mean).square())).sum(0)


class _BatchNorm(Function):
    """Normalisation by the moments of `values` values a channel, of which this process has some.

    The gradient passes through the moments to the maps of every process.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        maps: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        variance: Tensor,
        values: int,
        eps: float,
    ) -> Tensor:
        ctx.save_for_backward(maps, weight, mean, variance)
        ctx.values, ctx.eps = values, eps
        return F.batch_norm(maps, mean, variance, weight, bias, training=False, eps=eps)

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        maps, weight, mean, variance = ctx.saved_tensors
        direct, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, maps, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        everyones = torch.stack([of_weight, of_bias])
        dist.all_reduce(everyones)
        inverse = (variance + ctx.eps).rsqrt()
        by_scale, by_shift = weight * inverse * everyones / ctx.values
        slope = by_scale * inverse
        through_moments = maps * _per_channel(slope) + _per_channel(by_shift - slope * mean)
        return (direct - through_moments).to(maps.dtype), of_weight, of_bias, None, None, None, None


def _per_channel(values: Tensor) -> Tensor:
    return values[:, None, None]
