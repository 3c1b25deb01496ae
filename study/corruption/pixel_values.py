"""What corruptions share: the image size that their constants are for, and the conversion back to uint8."""

import numpy as np

REFERENCE_SIDE = 32  # pixels per side of CIFAR-10's images, which CIFAR-10-C's constants are for


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """`pixels` clipped to [0, 1], then in 0-255: truncated, not rounded, as by the authors' np.uint8."""
    values: np.ndarray = np.clip(pixels, 0, 1) * 255
    return values.astype(np.uint8)
