import numpy as np
import pytest
import torch

from study.data.splits import Facts
from study.features.augment import (
    CUTOUT,
    GREY,
    PAD,
    RANDAUGMENT,
    SHARING,
    Augment,
    BatchAugment,
    augmented,
    crop_flip,
    mixed,
)

NOTHING = BatchAugment(crop=False, flip=False, randaugment=False, cutout=False, augmix=False, mixup=0.0, cutmix=0.0)
KINDS = {"crop": True, "flip": True, "randaugment": True, "cutout": True, "augmix": True, "mixup": 0.2, "cutmix": 1.0}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def only(**kinds):
    return NOTHING.model_copy(update=kinds)


def both_steps(images, augment, generator):
    labels = torch.arange(len(images)) % 3
    return mixed(augmented(torch.from_numpy(images), augment, generator), labels, augment, 3, generator)


def test_every_view_is_a_crop_of_the_padded_image_or_of_its_mirror_image():
    column = torch.arange(32, dtype=torch.uint8)
    images = column.expand(20, 32, 32)[..., None].repeat(1, 1, 1, 3)  # brightness is the column's number
    for view in crop_flip(images, seeded()):
        row = view[0, :, 0].int()
        inner = row.diff()[PAD : -PAD - 1]
        assert set(inner.tolist()) in ({1}, {-1})
        assert (view == view[0]).all()


def test_both_directions_occur():
    images = torch.arange(32, dtype=torch.uint8).expand(20, 32, 32)[..., None].repeat(1, 1, 1, 3)
    slopes = {int(view[0, 17, 0]) - int(view[0, 16, 0]) for view in crop_flip(images, seeded())}
    assert slopes == {1, -1}


def test_a_crop_alone_never_mirrors_and_a_flip_alone_never_shifts():
    columns = torch.arange(32, dtype=torch.uint8)
    images = columns.expand(20, 32, 32)[..., None].repeat(1, 1, 1, 3)
    cropped = crop_flip(images, seeded(), flip=False)
    assert {int(view[0, 17, 0]) - int(view[0, 16, 0]) for view in cropped} == {1}
    assert len({int(view[0, 16, 0]) for view in cropped}) > 3
    flipped = crop_flip(images, seeded(), crop=False)
    kept = [torch.equal(view, image) for view, image in zip(flipped, images, strict=True)]
    assert all(whole or torch.equal(view, images[0].flip(1)) for whole, view in zip(kept, flipped, strict=True))
    assert {True, False} == set(kept)


@pytest.mark.parametrize(("mirrors", "flip"), [(True, True), (False, False)])
def test_only_a_dataset_that_holds_mirror_images_is_mirrored(mirrors, flip):
    assert only(flip=True, crop=True).of(Facts("any", ["a", "b"], mirrors)) == only(flip=flip, crop=True)
    assert only().of(Facts("any", ["a", "b"], mirrors)) == only()


@pytest.mark.parametrize(("kind", "value"), KINDS.items())
def test_each_augmentation_draws_from_its_generator_and_from_nothing_else(images, kind, value):
    def run(generator, global_seed):
        torch.manual_seed(global_seed)
        before = torch.get_rng_state()
        view, _ = both_steps(images, only(**{kind: value}), generator)
        assert torch.equal(torch.get_rng_state(), before)
        return view

    generator = seeded()
    first, second = run(generator, 1), run(generator, 1)
    assert torch.equal(first, run(seeded(), 2))
    assert not torch.equal(first, second)
    assert not torch.equal(first, torch.from_numpy(images))
    assert (first.dtype, first.shape) == (torch.uint8, images.shape)


def test_all_that_is_off_changes_nothing_and_draws_nothing(images):
    generator = seeded()
    view, labels = both_steps(images, NOTHING, generator)
    assert np.array_equal(view, images)
    assert labels.dtype == torch.int64
    assert torch.equal(generator.get_state(), seeded().get_state())


def test_crop_and_flip_alone_are_the_crops_and_flips_of_the_same_draws(images):
    generator, other = seeded(), seeded()
    augment = Augment(crop=True, flip=True, randaugment=False, cutout=False, augmix=False)
    assert torch.equal(
        augmented(torch.from_numpy(images), augment, generator), crop_flip(torch.from_numpy(images), other)
    )
    assert torch.equal(generator.get_state(), other.get_state())


@pytest.mark.parametrize(("kind", "transform"), [("randaugment", RANDAUGMENT), ("cutout", CUTOUT)])
def test_neighbours_share_torchvisions_own_draws(images, kind, transform):
    views = augmented(torch.from_numpy(images), only(**{kind: True}), seeded(5))
    torch.manual_seed(5)
    for view, group in zip(views.split(SHARING), torch.from_numpy(images).split(SHARING), strict=True):
        assert torch.equal(view, transform(group.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


def test_randaugment_changes_most_images_and_not_all_in_the_same_way():
    ramp = torch.arange(0, 256, 8, dtype=torch.uint8)
    images = (ramp[:, None] // 2 + ramp // 2).expand(40 * SHARING, 3, 32, 32).permute(0, 2, 3, 1)
    views = augmented(images, only(randaugment=True), seeded())[::SHARING]
    assert (views != images[0]).flatten(1).any(1).float().mean() > 0.7
    assert len(views.unique(dim=0)) > 20


def test_cutout_greys_a_square_of_half_the_side_in_half_of_the_images():
    black = torch.zeros(200 * SHARING, 32, 32, 3, dtype=torch.uint8)
    views = augmented(black, only(cutout=True), seeded())[::SHARING]
    grey = (views == torch.tensor(GREY, dtype=torch.uint8)).all(-1)
    assert (views[~grey] == 0).all()
    areas = grey.sum((1, 2))
    assert set(areas.tolist()) == {0, 16 * 16}
    assert 80 <= (areas > 0).sum() <= 120
    erased = grey[areas > 0]
    assert set(erased.any(1).sum(1).tolist()) == set(erased.any(2).sum(1).tolist()) == {16}
    assert len(erased.unique(dim=0)) > 60


def test_mixup_blends_images_and_labels_by_the_same_share(images):
    batch = torch.from_numpy(images)
    views, shares = mixed(batch, torch.arange(40), only(mixup=1.0), 40, seeded())
    share = shares.diagonal()[0].item()
    assert 0 < share < 1
    torch.testing.assert_close(shares, share * torch.eye(40) + (1 - share) * torch.eye(40).roll(1, 0))
    blend = share * batch.float() + (1 - share) * batch.roll(1, 0).float()
    torch.testing.assert_close(views.float(), blend, rtol=0, atol=0.501)


def test_cutmix_pastes_a_patch_whose_area_is_its_share_of_the_label():
    brightness = torch.arange(10, dtype=torch.uint8)
    views, shares = mixed(
        brightness[:, None, None, None].expand(10, 32, 32, 3), torch.arange(10), only(cutmix=1.0), 10, seeded()
    )
    for own in range(10):
        other = (own - 1) % 10
        patch = views[own] == other
        assert ((views[own] == own) | patch).all()
        assert 0 < patch.float().mean().item() < 1
        assert shares[own, other].item() == pytest.approx(patch.float().mean().item(), abs=1e-6)
        assert shares[own].sum().item() == pytest.approx(1)


def test_of_mixup_and_cutmix_each_batch_takes_one():
    brightness = torch.tensor([0, 200], dtype=torch.uint8)[:, None, None, None].expand(2, 32, 32, 3)
    generator = seeded()
    kinds = []
    for _ in range(20):
        views, _ = mixed(brightness, torch.arange(2), only(mixup=1.0, cutmix=1.0), 2, generator)
        kinds.append("cutmix" if set(views[0].unique().tolist()) <= {0, 200} else "mixup")
    assert set(kinds) == {"mixup", "cutmix"}


@pytest.mark.parametrize("alpha", [-0.1, 1e-4, 101.0, float("inf")])
def test_an_alpha_that_cannot_be_sampled_is_refused(alpha):
    with pytest.raises(ValueError, match="mixup"):
        BatchAugment(**NOTHING.model_dump() | {"mixup": alpha})
