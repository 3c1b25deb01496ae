import pytest
import torch

from lab.backbone import augment
from lab.backbone.augment import resized_crop_flip, shrink


def noise(count: int, side: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, side, side, 3), generator=generator(), dtype=torch.uint8)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_a_crop_of_the_whole_image_is_the_image_or_its_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "ASPECT", 1.0)
    images = noise(40, 16)

    crops = resized_crop_flip(images, 16, (1.0, 1.0), generator())

    same = (crops == images).flatten(1).all(1)
    mirrored = (crops == images.flip(2)).flatten(1).all(1)
    assert (same ^ mirrored).all()
    assert 10 <= mirrored.sum() <= 30


def test_a_quarter_of_the_area_is_half_of_the_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "ASPECT", 1.0)
    columns = torch.arange(64, dtype=torch.uint8).expand(20, 64, 64)

    crops = resized_crop_flip(columns[..., None].expand(-1, -1, -1, 3), 64, (0.25, 0.25), generator()).int()

    widths = (crops[:, 0, -1, 0] - crops[:, 0, 0, 0]).abs()  # 64 samples over 32 columns: the ends are 31.5 apart
    assert set(widths.tolist()) <= {31, 32}
    assert len(crops[:, 0, 0, 0].unique()) > 5  # wherever it lies


def test_crops_are_stretched_both_ways_up_to_the_aspect_ratio() -> None:
    ramp = 4 * torch.arange(64, dtype=torch.uint8)
    images = torch.stack(
        [ramp.expand(64, 64), ramp[:, None].expand(64, 64), torch.zeros(64, 64, dtype=torch.uint8)], dim=2
    )

    crops = resized_crop_flip(images.expand(200, -1, -1, -1), 64, (0.5, 0.5), generator()).float()

    width = (crops[:, 0, -1, 0] - crops[:, 0, 0, 0]).abs()
    height = (crops[:, -1, 0, 1] - crops[:, 0, 0, 1]).abs()
    ratio = width / height
    assert 0.73 < ratio.min() < 0.8
    assert 1.25 < ratio.max() < 1.36


def test_crops_take_the_size_asked_for_and_follow_the_generator() -> None:
    images = noise(8, 64)

    crops = resized_crop_flip(images, 48, (0.3, 1.0), generator())

    assert (crops.shape, crops.dtype) == ((8, 48, 48, 3), torch.uint8)
    assert torch.equal(crops, resized_crop_flip(images, 48, (0.3, 1.0), generator()))


def test_shrink_averages_rather_than_drops_pixels() -> None:
    checkerboard = 200 * ((torch.arange(64)[:, None] + torch.arange(64)) % 2).to(torch.uint8)

    small = shrink(checkerboard[None, :, :, None].expand(2, -1, -1, 3))

    assert (small.shape, small.dtype) == ((2, 32, 32, 3), torch.uint8)
    assert (small[:, 1:-1, 1:-1] == 100).all()
