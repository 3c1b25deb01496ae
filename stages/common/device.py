"""Where to compute, and in which precision."""

import os
from contextlib import AbstractContextManager

import torch


def device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_native_bf16() -> bool:
    """Whether the device multiplies bfloat16 in hardware; emulated bfloat16 is slower than float32."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def autocast() -> AbstractContextManager:
    """bfloat16 where it is native, float32 elsewhere."""
    return torch.autocast(device().type, dtype=torch.bfloat16, enabled=has_native_bf16())


def make_deterministic(seed: int) -> None:
    """Same seed, same machine, same number of threads: same bytes. A GPU warns where it has no such kernel."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS wants to be deterministic
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    torch.utils.deterministic.fill_uninitialized_memory = False  # with NaN: for debugging, and 5 % of a training step
