from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from study.features import augmix as module
from study.features.augmix import DEPTH, OPERATIONS, SEVERITY, WEAKEST, WIDTH, augmix
from study.sources.image_files import read_image

SAMPLES = sorted((Path(__file__).parents[2] / "samples").glob("*.png"))
COUNT = 40


def whole(level, greatest):
    """The published code's int_parameter: a whole number, towards zero."""
    return int(level * greatest / 10)


def moved(*matrix):
    return lambda picture: picture.transform(picture.size, Image.AFFINE, matrix, resample=Image.BILINEAR)


# The published operations, augmentations.py of google-research/augmix, at a level with a sign.
PUBLISHED = {
    "autocontrast": lambda level: ImageOps.autocontrast,
    "equalize": lambda level: ImageOps.equalize,
    "posterize": lambda level: lambda picture: ImageOps.posterize(picture, 4 - whole(abs(level), 4)),
    "rotate": lambda level: lambda picture: picture.rotate(whole(level, 30), resample=Image.BILINEAR),
    "solarize": lambda level: lambda picture: ImageOps.solarize(picture, 256 - whole(abs(level), 256)),
    "shear_x": lambda level: moved(1, level * 0.3 / 10, 0, 0, 1, 0),
    "shear_y": lambda level: moved(1, 0, 0, level * 0.3 / 10, 1, 0),
    "translate_x": lambda level: moved(1, 0, whole(level, 32 / 3), 0, 1, 0),
    "translate_y": lambda level: moved(1, 0, 0, 0, 1, whole(level, 32 / 3)),
}


@pytest.fixture
def pictures():
    """Photographs, uint8 (N, 32, 32, 3): some of them flat or dark in part."""
    photos = [read_image(path.read_bytes(), (32, 32)) for path in SAMPLES]
    return torch.from_numpy(np.stack([photos[index % len(photos)] // (1 + index % 3) for index in range(COUNT)]))


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
def test_each_operation_is_pillows_to_within_a_rounding(pictures, operation):
    levels = torch.linspace(-SEVERITY, SEVERITY, COUNT)
    expected = [
        np.array(PUBLISHED[operation.__name__](level.item())(Image.fromarray(picture.numpy())))
        for picture, level in zip(pictures, levels, strict=True)
    ]
    found = operation(pictures.permute(0, 3, 1, 2), levels).permute(0, 2, 3, 1).numpy()
    assert np.abs(found.astype(int) - np.stack(expected)).max() <= 1


def test_a_flat_picture_stays_as_it_is_under_the_operations_on_histograms():
    flat = torch.full((2, 3, 32, 32), 77, dtype=torch.uint8)
    for operation in (module.autocontrast, module.equalize):
        assert torch.equal(operation(flat, torch.zeros(2)), flat)


def published_augmix(picture, rng):
    """augment_and_mix of the published code, on a float picture, with numpy's draws."""
    weights, share = rng.dirichlet([1] * WIDTH), rng.beta(1, 1)
    mixture = np.zeros(picture.shape)
    for weight in weights:
        chained = Image.fromarray(picture)
        for _ in range(rng.integers(1, DEPTH + 1)):
            level = rng.uniform(WEAKEST, SEVERITY) * rng.choice([-1, 1])
            chained = PUBLISHED[rng.choice(list(PUBLISHED))](level)(chained)
        mixture += weight * np.array(chained)
    return (1 - share) * picture + share * mixture


def test_many_draws_have_the_mean_and_the_spread_of_the_published_code(pictures):
    draws, rng = 1500, np.random.default_rng(0)
    picture = pictures[0]
    ours = augmix(picture.expand(draws, -1, -1, -1), torch.Generator().manual_seed(0)).double().numpy()
    theirs = np.stack([published_augmix(picture.numpy(), rng) for _ in range(draws)])
    error = theirs.std(0).mean() / np.sqrt(draws)
    assert abs(ours.mean() - theirs.mean()) < 4 * theirs.mean((1, 2, 3)).std() * np.sqrt(2 / draws)
    assert np.abs(ours.mean(0) - theirs.mean(0)).mean() < 3 * error
    assert ours.std(0).mean() == pytest.approx(theirs.std(0).mean(), rel=0.1)


def test_chains_have_one_to_three_operations_with_equal_frequency(pictures, monkeypatch):
    def brighter(pixels, _levels):
        return pixels + 1

    monkeypatch.setattr(module, "OPERATIONS", (brighter,))
    black = torch.zeros(3000, 3, 1, 1, dtype=torch.uint8)
    steps = module._chain(black, torch.Generator().manual_seed(0))[:, 0, 0, 0]
    shares = torch.bincount(steps.long(), minlength=4) / len(steps)
    assert shares.tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3], abs=0.03)


def test_levels_are_uniform_and_their_signs_equally_frequent(monkeypatch):
    seen = []
    monkeypatch.setattr(module, "OPERATIONS", (lambda pixels, levels: seen.append(levels) or pixels,))
    module._chain(torch.zeros(3000, 3, 1, 1, dtype=torch.uint8), torch.Generator().manual_seed(0))
    levels = torch.cat(seen)
    assert levels.abs().min() >= WEAKEST
    assert levels.abs().max() <= SEVERITY
    assert levels.abs().mean().item() == pytest.approx((WEAKEST + SEVERITY) / 2, abs=0.03)
    assert (levels > 0).double().mean().item() == pytest.approx(0.5, abs=0.03)


def test_images_of_a_batch_have_draws_of_their_own(pictures):
    same = augmix(pictures[:1].expand(8, -1, -1, -1), torch.Generator().manual_seed(0))
    assert len({view.numpy().tobytes() for view in same}) == 8
