import numpy as np
import pytest
from skimage.util import random_noise

from study.corruption.catalogue import corrupt
from tests.corruption.small_images import GREY, by_severity


def test_each_noise_and_severity_draws_its_own_numbers():
    """Were they shared, gaussian and speckle noise of one severity would have the same signs."""
    signs = [
        np.sign(corrupt(GREY, name, severity, seed=0).astype(int) - 128).ravel()
        for name in ("gaussian_noise", "speckle_noise")
        for severity in (1, 2)
    ]
    correlations = np.corrcoef(signs)[np.triu_indices(4, k=1)]
    assert np.abs(correlations).max() < 0.02


@pytest.mark.parametrize(
    ("name", "deviations"),
    [
        ("gaussian_noise", [0.04, 0.06, 0.08, 0.09, 0.10]),
        ("speckle_noise", [128 / 255 * scale for scale in (0.06, 0.1, 0.12, 0.16, 0.2)]),
        ("shot_noise", [(128 / 255 / photons) ** 0.5 for photons in (500, 250, 100, 75, 50)]),
    ],
)
def test_noise_has_its_standard_deviation_and_is_truncated(name, deviations):
    for severity, deviation in by_severity(*deviations):
        noisy = corrupt(GREY, name, severity, seed=0)
        assert noisy.std() == pytest.approx(255 * deviation, rel=0.02)
        assert noisy.mean() == pytest.approx(127.5, abs=0.4)  # it would be 128 if values were rounded


def test_impulse_noise_hits_single_channels_half_with_black_and_half_with_white():
    for severity, amount in by_severity(0.01, 0.02, 0.03, 0.05, 0.07):
        noisy = corrupt(GREY, "impulse_noise", severity, seed=0)
        assert np.isin(noisy, (0, 128, 255)).all()
        assert np.mean(noisy == 0) == pytest.approx(amount / 2, rel=0.15)
        assert np.mean(noisy == 255) == pytest.approx(amount / 2, rel=0.15)
        hits = (noisy != 128).sum(axis=-1)
        assert np.mean(hits == 1) == pytest.approx(3 * amount * (1 - amount) ** 2, rel=0.1)


@pytest.mark.parametrize(("severity", "amount"), by_severity(0.01, 0.02, 0.03, 0.05, 0.07))
def test_impulse_noise_is_as_frequent_as_scikit_images(severity, amount):
    theirs = random_noise(GREY / 255, mode="s&p", rng=0, amount=amount)
    ours = corrupt(GREY, "impulse_noise", severity, seed=0)
    for value in (0, 255):
        assert np.mean(ours == value) == pytest.approx(np.mean(theirs == value / 255), rel=0.2)


def test_shot_noise_grows_with_the_root_of_the_brightness():
    dark, bright = np.full_like(GREY, 40), np.full_like(GREY, 160)
    spread = [corrupt(images, "shot_noise", 3, seed=0).std() for images in (dark, bright)]
    assert spread[1] / spread[0] == pytest.approx((160 / 40) ** 0.5, rel=0.05)


def test_speckle_noise_leaves_black_alone():
    assert (corrupt(np.zeros_like(GREY), "speckle_noise", 5, seed=0) == 0).all()


@pytest.mark.parametrize(("severity", "side"), by_severity(4, 8, 12, 16, 20))
def test_occlusion_cuts_one_whole_square_out_of_each_image(severity, side):
    cut = corrupt(np.zeros_like(GREY), "occlusion", severity, seed=0)
    assert np.isin(cut, (0, 128)).all()
    for hidden in cut[..., 0] == 128:
        assert hidden.sum() == side * side
        assert hidden.any(axis=0).sum() == hidden.any(axis=1).sum() == side


def test_occlusion_reaches_every_place_alike():
    hidden = corrupt(np.zeros((2000, 32, 32, 3), dtype=np.uint8), "occlusion", 5, seed=0)[..., 0] == 128
    assert hidden.any(axis=0).all()
    corners = np.stack([hidden.any(axis=1).argmax(axis=1), hidden.any(axis=2).argmax(axis=1)])
    assert corners.min() == 0 and corners.max() == 32 - 20
    # Uniform on 0-12: mean 6, variance (13^2 - 1) / 12.
    assert corners.mean() == pytest.approx(6, abs=0.2) and corners.std() == pytest.approx(14**0.5, abs=0.1)
    assert abs(np.corrcoef(corners)[0, 1]) < 0.1
