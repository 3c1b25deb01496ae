import torch

from stages.common.augment import PAD, pad_crop_flip


def seeded():
    return torch.Generator().manual_seed(0)


def test_every_view_is_a_crop_of_the_padded_image_or_of_its_mirror_image():
    column = torch.arange(32, dtype=torch.uint8)
    images = column.expand(20, 32, 32)[..., None].repeat(1, 1, 1, 3)  # brightness is the column's number
    for view in pad_crop_flip(images, seeded()):
        row = view[0, :, 0].int()
        inner = row.diff()[PAD : -PAD - 1]
        assert set(inner.tolist()) in ({1}, {-1})
        assert (view == view[0]).all()


def test_both_directions_occur():
    images = torch.arange(32, dtype=torch.uint8).expand(20, 32, 32)[..., None].repeat(1, 1, 1, 3)
    slopes = {int(view[0, 17, 0]) - int(view[0, 16, 0]) for view in pad_crop_flip(images, seeded())}
    assert slopes == {1, -1}


def test_the_same_generator_state_gives_the_same_views(images):
    batch = torch.from_numpy(images)
    assert torch.equal(pad_crop_flip(batch, seeded()), pad_crop_flip(batch, seeded()))
    generator = seeded()
    assert not torch.equal(pad_crop_flip(batch, generator), pad_crop_flip(batch, generator))
