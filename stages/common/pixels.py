"""What every corruption shares: the size of the images, and the way from [0, 1] back to bytes."""

import numpy as np

SIDE = 32  # pixels: CIFAR-10-C's constants mean something at this size only


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """`pixels`, clipped to [0, 1], in 0-255: truncated, not rounded, as the authors' np.uint8 does."""
    return (np.clip(pixels, 0, 1) * 255).astype(np.uint8)
