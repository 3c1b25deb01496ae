"""Corruptions that no choice in this study looks at: five of CIFAR-10-C-bar's ten.

Mintun, Kirillov and Xie 2021, "On Interaction Between Augmentations and Corruptions in Natural Corruption Robustness",
chose them to be far from CIFAR-10-C's, as their features show. Formulas and levels, numbers out of 10, are theirs.

A corruption is a function of images (N, S, S, 3), uint8, the level of a severity, and a random generator; it returns
the same shape and dtype. An image's randomness must not depend on how many follow it.
"""

import numpy as np

from study.corruption.digital import sampled

GREY = 128
CELL = (0.1, 0.25)  # range of a checkerboard's cells, as a share of the side
WHIRLS = 3  # per side
WAVES = (0.1, 0.3)  # range of wavelengths, as a share of the side


def blue_noise_sample(images: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """Blacken the pixels where noise of mostly high frequencies is low."""
    noise = _noise(rng, images.shape[:3], _distance(images.shape[1]))
    return images * (noise > 0.3 * level - 2.5)[..., None]


def brownish_noise(images: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """Add noise of mostly low frequencies, independently per channel."""
    count, side = images.shape[:2]
    noise = _noise(rng, (count, 3, side, side), 1 / (_distance(side) ** 2 + 1))
    return _stored(images + 6.4 * level * noise.transpose(0, 2, 3, 1))


def _distance(side: int) -> np.ndarray:
    """(S, S): from the middle of a spectrum, in whole waves per image."""
    place = np.arange(side) - side / 2
    distance: np.ndarray = np.hypot(place[:, None], place)
    return distance


def _noise(rng: np.random.Generator, shape: tuple[int, ...], magnitude: np.ndarray) -> np.ndarray:
    """Noise (..., S, S) of standard deviation 1 with random phases. magnitude: (S, S), of each frequency.

    Opposite frequencies share their phase, as in the authors' code.
    """
    side = shape[-1]
    phases = rng.uniform(0, 2 * np.pi, size=(*shape[:-2], side * side))
    half = side * side // 2
    phases[..., -half:] = phases[..., :half][..., ::-1]
    centre = side // 2, side // 2
    phases, magnitude = (np.roll(of, centre, axis=(-2, -1)) for of in (phases.reshape(shape), magnitude))
    noise = np.fft.ifft2(magnitude * np.exp(1j * phases)).real
    scaled: np.ndarray = noise / noise.std(axis=(-2, -1), keepdims=True)
    return scaled


def checkerboard_cutout(images: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """Grey out a share of the black fields of a turned checkerboard."""
    count, side = images.shape[:2]
    for_angle, for_size, for_fields = rng.spawn(3)
    angle = for_angle.uniform(0, 2 * np.pi, size=(count, 1, 1))
    size = np.maximum(for_size.uniform(*CELL, size=(count, 1, 1)) * side, 1)
    place = np.arange(side)
    row = np.floor((np.cos(angle) * place[:, None] + np.sin(angle) * place) / size).astype(int)
    column = np.floor((np.cos(angle) * place - np.sin(angle) * place[:, None]) / size).astype(int)
    reach = int(np.ceil(np.sqrt(2) / CELL[0])) + 1  # the farthest field from the corner that the board is turned about
    chosen = for_fields.random((count, 2 * reach, 2 * reach)) < level / 10
    grey = (row % 2 == column % 2) & chosen[np.arange(count)[:, None, None], row + reach, column + reach]
    return np.where(grey[..., None], np.uint8(GREY), images)


def pinch_and_twirl(images: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """Pinch and twirl the discs in a grid of three by three, each clockwise or anticlockwise."""
    count, side = images.shape[:2]
    size = side // WHIRLS
    place = np.arange(side, dtype=float)
    disc = np.minimum(np.arange(side) // size, WHIRLS)  # WHIRLS: the pixels that are left over
    offset = place - (disc * size + size / 2)
    distance = np.hypot(offset[:, None], offset) / (size / 2)
    inside = (distance <= 1) & (distance > 0) & (disc[:, None] < WHIRLS) & (disc < WHIRLS)
    within = np.where(inside, distance, 1)
    pinched = np.sin(np.pi / 2 * within) ** -(0.04 * level + 0.1)
    turn = np.pi / 20 * level * (1 - within) ** 2
    signs = np.pad(rng.choice([-1, 1], size=(count, WHIRLS, WHIRLS)), ((0, 0), (0, 1), (0, 1)))
    angle = turn * signs[:, disc[:, None], disc]
    down, right = offset[:, None] * pinched, offset * pinched
    rows = np.where(
        inside, place[:, None] - offset[:, None] + down * np.cos(angle) - right * np.sin(angle), place[:, None]
    )
    columns = np.where(inside, place - offset + down * np.sin(angle) + right * np.cos(angle), place)
    return _warped(images, rows, columns)


def ripple(images: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """Shift rows and columns of pixels along two sine waves."""
    count, side = images.shape[:2]
    for_lengths, for_phases = rng.spawn(2)
    lengths = for_lengths.uniform(*WAVES, size=(count, 2, 1)) * side
    phases = for_phases.uniform(0, 2 * np.pi, size=(count, 2, 1))
    place = np.arange(side)
    shifted = place + 0.0025 * level * side * np.sin(2 * np.pi * place / lengths + phases)
    rows, columns = np.broadcast_arrays(shifted[:, 0, :, None], shifted[:, 1, None])
    return _warped(images, rows, columns)


def _warped(images: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """`images` at `rows` and `columns` (N, S, S), interpolated; black outside."""
    side = images.shape[1]
    framed = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0))).astype(np.float32)
    down, right = (np.clip(place + 1, 0, side + 1) for place in (rows, columns))
    return _stored(sampled(framed, down, right, border="symmetric"))


def _stored(pixels: np.ndarray) -> np.ndarray:
    """0-255, truncated as by the authors' astype."""
    values: np.ndarray = np.clip(pixels, 0, 255).astype(np.uint8)
    return values
