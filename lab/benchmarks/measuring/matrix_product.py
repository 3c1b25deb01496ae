"""The rate at which this machine multiplies matrices: what no training and no inference can go beyond."""

import time
from statistics import median

import torch

from study.networks.device import device

MATRIX_SIDE = {"cpu": 2048, "cuda": 8192}  # of the square matrices
REPEATS = 7


def gemm_rate(dtype: torch.dtype) -> float:
    """Floating-point operations in a second, median of REPEATS products of two square matrices."""
    where = device()
    side = MATRIX_SIDE[where.type]
    left, right = (torch.randn(side, side, device=where).to(dtype) for _ in range(2))
    left @ right
    return median(2 * side**3 / seconds(left, right) for _ in range(REPEATS))


def seconds(left: torch.Tensor, right: torch.Tensor) -> float:
    synchronise()
    start = time.perf_counter()
    left @ right
    synchronise()
    return time.perf_counter() - start


def synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
