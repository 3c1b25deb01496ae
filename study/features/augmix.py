"""AugMix: an image mixed with chains of simple operations on it.

Hendrycks et al. 2020, "AugMix: A Simple Data Processing Method to Improve Robustness and Uncertainty". The operations
and their ranges are the published ones. Contrast, colour, brightness and sharpness are not among them, because
CIFAR-10-C tests them. Every image has draws of its own; all images of a batch are computed together.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

WIDTH = 3  # chains
DEPTH = 3  # operations in a chain, at most; each number from 1 is equally likely
SEVERITY = 3.0  # of 10: the greatest level of an operation
WEAKEST = 0.1  # of 10: the least level
ROTATE = 30.0  # degrees at level 10
SHEAR = 0.3  # at level 10
TRANSLATE = 1 / 3  # of the side, at level 10

LEVELS = 256  # that a stored value may have

Operation = Callable[[Tensor, Tensor], Tensor]


def augmix(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each of the images, uint8 (N, H, W, 3), mixed with three chains of operations on it.

    The chains' weights are from Dirichlet(1, 1, 1), the weight of their mixture against the image from Beta(1, 1).
    generator: on the CPU, wherever the images are. Values are rounded: the published code mixes them as floats.
    """
    count, where = len(images), images.device
    exponentials = torch.rand(count, WIDTH, generator=generator).clamp(min=1e-12).log().neg()
    weights = (exponentials / exponentials.sum(1, keepdim=True)).to(where)
    share = torch.rand(count, generator=generator).to(where).view(-1, 1, 1, 1)
    pixels = images.permute(0, 3, 1, 2)
    mixture = torch.zeros(pixels.shape, device=where)
    for weight in weights.unbind(1):
        mixture += weight.view(-1, 1, 1, 1) * _chain(pixels, generator)
    mixed = (1 - share) * pixels + share * mixture
    return mixed.round().to(torch.uint8).permute(0, 2, 3, 1)


def _chain(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """pixels: uint8 (N, 3, H, W)."""
    count = len(pixels)
    depths = torch.randint(1, DEPTH + 1, (count,), generator=generator)
    for step in range(DEPTH):
        kinds = torch.randint(len(OPERATIONS), (count,), generator=generator)
        levels = WEAKEST + (SEVERITY - WEAKEST) * torch.rand(count, generator=generator)
        signs = torch.randint(0, 2, (count,), generator=generator) * 2.0 - 1
        kinds[depths <= step] = -1
        changed = pixels.clone()
        for kind, operation in enumerate(OPERATIONS):
            rows = (kinds == kind).nonzero()[:, 0]
            if len(rows):
                of_kind = rows.to(pixels.device)
                changed[of_kind] = operation(pixels[of_kind], (levels * signs)[rows].to(pixels.device))
        pixels = changed
    return pixels


def autocontrast(pixels: Tensor, _levels: Tensor) -> Tensor:
    """Stretch each channel to the whole range, as Pillow's ImageOps does. pixels: uint8 (N, 3, H, W)."""
    values = pixels.double()
    low, high = values.amin((2, 3), keepdim=True), values.amax((2, 3), keepdim=True)
    scale = 255 / (high - low).clamp(min=1)
    stretched = (values * scale - low * scale).clamp(0, 255).to(torch.uint8)
    return torch.where(high > low, stretched, pixels)


def equalize(pixels: Tensor, _levels: Tensor) -> Tensor:
    """Make each channel's histogram flat, as Pillow's ImageOps does. pixels: uint8 (N, 3, H, W)."""
    values = pixels.long().flatten(2)
    histogram = torch.zeros(*values.shape[:2], LEVELS, dtype=torch.long, device=pixels.device)
    histogram.scatter_add_(2, values, torch.ones_like(values))
    brightest = histogram.gather(2, values.amax(2, keepdim=True))
    step = (values.shape[2] - brightest) // (LEVELS - 1)
    before = histogram.cumsum(2) - histogram
    table = ((step // 2 + before) // step.clamp(min=1)).clamp(max=LEVELS - 1)
    equal = table.gather(2, values).to(torch.uint8).view_as(pixels)
    return torch.where(step[..., None] > 0, equal, pixels)


def posterize(pixels: Tensor, levels: Tensor) -> Tensor:
    """Keep the upper 4 bits; 3 from level 2.5 on. pixels: uint8 (N, 3, H, W); levels: (N,), signs ignored."""
    dropped = 4 + (levels.abs() * 4 / 10).to(torch.uint8)
    mask = (255 << dropped.int()).to(torch.uint8)
    return pixels & mask.view(-1, 1, 1, 1)


def solarize(pixels: Tensor, levels: Tensor) -> Tensor:
    """Invert the values from a threshold on. pixels: uint8 (N, 3, H, W); levels: (N,), signs ignored."""
    threshold = (LEVELS - (levels.abs() * LEVELS / 10).int()).view(-1, 1, 1, 1)
    return torch.where(pixels.int() < threshold, pixels, 255 - pixels)


def rotate(pixels: Tensor, levels: Tensor) -> Tensor:
    angle = torch.deg2rad((levels * ROTATE / 10).trunc())
    return _affine(pixels, angle.cos(), -angle.sin(), angle.sin(), angle.cos(), about_centre=True)


def shear_x(pixels: Tensor, levels: Tensor) -> Tensor:
    return _affine(pixels, 1, levels * SHEAR / 10, 0, 1)


def shear_y(pixels: Tensor, levels: Tensor) -> Tensor:
    return _affine(pixels, 1, 0, levels * SHEAR / 10, 1)


def translate_x(pixels: Tensor, levels: Tensor) -> Tensor:
    return _affine(pixels, 1, 0, 0, 1, x=(levels * TRANSLATE * pixels.shape[3] / 10).trunc())


def translate_y(pixels: Tensor, levels: Tensor) -> Tensor:
    return _affine(pixels, 1, 0, 0, 1, y=(levels * TRANSLATE * pixels.shape[2] / 10).trunc())


OPERATIONS: tuple[Operation, ...] = (
    autocontrast,
    equalize,
    posterize,
    rotate,
    solarize,
    shear_x,
    shear_y,
    translate_x,
    translate_y,
)


def _affine(
    pixels: Tensor,
    a: Tensor | float,
    b: Tensor | float,
    c: Tensor | float,
    d: Tensor | float,
    x: Tensor | float = 0.0,
    y: Tensor | float = 0.0,
    about_centre: bool = False,
) -> Tensor:
    """The pixel at (u, v) becomes that at (a u + b v + x, c u + d v + y), interpolated; black outside the image.

    pixels: uint8 (N, 3, H, W); the coefficients: (N,) or one for all. As Pillow's Image.transform, from the corner.
    """
    count, _, height, width = pixels.shape
    where = pixels.device
    given = (torch.as_tensor(of, dtype=torch.float32, device=where) for of in (a, b, c, d, x, y))
    a, b, c, d, x, y = (coefficient.expand(count).view(-1, 1, 1) for coefficient in given)
    u0, v0 = (width / 2, height / 2) if about_centre else (0.0, 0.0)
    u, v = torch.arange(width, device=where) + 0.5 - u0, torch.arange(height, device=where) + 0.5 - v0
    columns = a * u + b * v[:, None] + x + u0
    rows = c * u + d * v[:, None] + y + v0
    grid = torch.stack([2 * columns / width - 1, 2 * rows / height - 1], dim=3)
    moved = F.grid_sample(pixels.float(), grid, padding_mode="border", align_corners=False)
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    return (moved * inside[:, None]).round().to(torch.uint8)
