"""What the corruptions share: the size that their constants are for, and the way from [0, 1] back to bytes."""

import numpy as np

SIDE = 32  # pixels: of CIFAR-10's images, which CIFAR-10-C's constants are for


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """`pixels`, clipped to [0, 1], in 0-255: truncated, not rounded, as the authors' np.uint8 does."""
    return (np.clip(pixels, 0, 1) * 255).astype(np.uint8)
