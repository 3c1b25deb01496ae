"""Where to compute, and in which precision."""

import os

import torch


def device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_native_bf16() -> bool:
    """Whether the device multiplies bfloat16 in hardware; emulated bfloat16 is slower than float32."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    native: bool = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return native


def autocast() -> torch.autocast:
    """bfloat16 where it is native, float32 elsewhere."""
    return torch.autocast(device().type, dtype=torch.bfloat16, enabled=has_native_bf16())


def make_deterministic(seed: int) -> None:
    """Give the same bytes for the same seed, machine and number of threads. A GPU warns if it lacks such a kernel."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS needs this to be deterministic
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    # Filling with NaN is for debugging, and costs 5 % of a training step. torch's stub lacks the attribute.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
