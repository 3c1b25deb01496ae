import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from study.corruption import catalogue as corruption
from study.corruption.catalogue import CORRUPTIONS, SEVERITIES, CorruptEval, corrupt
from study.pipeline.params import Refusal, parse
from tests.corruption import small_images
from tests.corruption.small_images import GREY

RANDOM = [
    *("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise", "glass_blur", "motion_blur"),
    *("snow", "frost", "fog", "elastic_transform", "spatter", "occlusion"),
    *("blue_noise_sample", "brownish_noise", "checkerboard_cutout", "pinch_and_twirl", "ripple"),
]
# By the authors' constants the severities of these are no order: more rounds at a smaller sigma, less of the image as
# more ice covers it, a smaller affine map under a larger displacement, water and then mud, less and then more colour.
UNORDERED = ["glass_blur", "frost", "elastic_transform", "spatter", "saturate"]


@pytest.fixture(name="photos")
def smooth_images():
    return small_images.photos()


def test_the_groups_are_the_benchmarks_its_extra_ones_our_own_and_those_held_out():
    """The fifteen of RobustBench's mean; of these frost is ours, for want of the authors' photographs."""
    groups = {
        group: [name for name in CORRUPTIONS if CORRUPTIONS[name].group == group]
        for group in ("benchmark", "extra", "own", "held_out")
    }
    assert groups["benchmark"] == [
        *("gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
        *("snow", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression"),
    ]
    assert groups["extra"] == ["speckle_noise", "gaussian_blur", "spatter", "saturate"]
    assert groups["own"] == ["frost", "occlusion"]
    assert groups["held_out"] == [
        "blue_noise_sample",
        "brownish_noise",
        "checkerboard_cutout",
        "pinch_and_twirl",
        "ripple",
    ]


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_a_corruption_returns_new_uint8_images_of_the_same_shape(name, severity, photos):
    given = photos.copy()
    corrupted = corrupt(photos, name, severity, seed=0)
    assert corrupted.dtype == np.uint8 and corrupted.shape == photos.shape
    assert all((one != other).any() for one, other in zip(corrupted, photos, strict=True))
    np.testing.assert_array_equal(photos, given)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_result_depends_on_nothing_that_came_before(name, photos):
    alone = corrupt(photos, name, 3, seed=5)
    np.random.seed(0)
    for other in CORRUPTIONS:
        corrupt(photos, other, 2, seed=5)
    np.testing.assert_array_equal(corrupt(photos, name, 3, seed=5), alone)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_image_is_corrupted_alike_however_many_follow_it(name, photos):
    np.testing.assert_array_equal(corrupt(photos[:3], name, 3, seed=0), corrupt(photos, name, 3, seed=0)[:3])


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_so_it_is_when_they_are_more_than_are_corrupted_at_a_time(name, photos, monkeypatch):
    monkeypatch.setattr(corruption, "CHUNK", 3)
    corrupted = corrupt(photos, name, 3, seed=0)
    np.testing.assert_array_equal(corrupt(photos[:5], name, 3, seed=0), corrupted[:5])


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_image_has_its_own_randomness_also_across_those_bounds(name, photos, monkeypatch):
    monkeypatch.setattr(corruption, "CHUNK", 3)
    corrupted = corrupt(np.repeat(photos[:1], 8, axis=0), name, 3, seed=0)
    different = len(np.unique(corrupted, axis=0))
    assert 3 < different <= 8 if name in RANDOM else different == 1  # two strokes may meet the same whole pixels


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_memory_beside_the_result_does_not_grow_with_the_images(name):
    images = np.zeros((corruption.CHUNK + 100, 32, 32, 3), dtype=np.uint8)
    tracemalloc.start()
    corrupt(images, name, 5, seed=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - images.nbytes < 100e6  # bytes


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_seed_matters_where_there_is_chance(name, photos):
    differs = (corrupt(photos, name, 3, seed=0) != corrupt(photos, name, 3, seed=1)).any()
    assert differs == (name in RANDOM)


@pytest.mark.parametrize("name", [name for name in CORRUPTIONS if name not in UNORDERED])
def test_a_higher_severity_changes_the_images_more(name, photos):
    photos = np.tile(photos, (8, 1, 1, 1))  # so many that chance weighs less than severity
    change = [np.abs(corrupt(photos, name, severity, seed=0) - photos.astype(float)).mean() for severity in SEVERITIES]
    assert change == sorted(change)


@pytest.mark.parametrize(
    ("name", "severity", "message"),
    [
        ("fogg", 1, "unknown corruption 'fogg': choose from gaussian_noise, "),
        ("fog", 0, "severity must be 1, 2, 3, 4 or 5, got 0"),
        ("fog", 6, "severity must be 1, 2, 3, 4 or 5, got 6"),
    ],
)
def test_an_unknown_name_or_severity_is_quoted(name, severity, message):
    with pytest.raises(ValueError, match=message):
        corrupt(GREY, name, severity, seed=0)


@pytest.mark.parametrize(
    ("images", "received"),
    [
        (np.zeros((2, 32, 28, 3), np.uint8), r"uint8 \(2, 32, 28, 3\)"),
        (np.zeros((32, 32, 3), np.uint8), r"uint8 \(32, 32, 3\)"),
        (np.zeros((2, 32, 32, 3)), r"float64 \(2, 32, 32, 3\)"),
    ],
)
def test_images_of_another_shape_or_dtype_are_quoted(images, received):
    with pytest.raises(ValueError, match=received):
        corrupt(images, "contrast", 1, seed=0)


@pytest.mark.parametrize("side", [48, 64])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_images_of_another_side_are_corrupted_too_and_the_worst_severity_changes_them_more_than_the_least(name, side):
    ramps = np.linspace(40, 200, side).astype(np.uint8)
    images = np.stack([np.stack([ramps[:, None] ^ (ramps & mask)] * 3, axis=-1) for mask in (0, 63, 96)])
    images[..., 0] //= 2  # saturation has something to change
    weak, strong = (corrupt(images, name, severity, seed=0) for severity in (1, 5))
    assert weak.shape == strong.shape == (3, side, side, 3) and weak.dtype == np.uint8
    changes = [np.abs(image.astype(float) - images).mean() for image in (weak, strong)]
    assert changes[0] > 0 and (name in UNORDERED or changes[0] < changes[1])


def test_shares_of_the_side_are_the_same_shares_of_a_larger_image():
    images = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    hidden = (corrupt(images, "occlusion", 3, seed=0) == 128).all(axis=-1).sum(axis=(1, 2))
    np.testing.assert_array_equal(hidden, [(12 * 2) ** 2] * 4)  # 12 of 32 pixels are 24 of 64
    coarse = corrupt(images, "pixelate", 5, seed=0)
    assert len({line.tobytes() for line in coarse[0, :, 0]}) <= 2 * 20  # 20 of 32 pixels are 40 of 64


BLOCK = {"corruptions": ["gaussian_noise", "motion_blur"], "images": 1000, "seed": 0, "cifar10c_dir": None}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"corruptions": ["fogg"]}, r"corrupt_eval.corruptions.0 = 'fogg': .*'gaussian_noise'.*'occlusion'"),
        ({"corruptions": []}, r"corrupt_eval.corruptions = \[\]: .*at least 1"),
        ({"corruptions": ["fog", "fog"]}, r"corrupt_eval.corruptions = \['fog', 'fog'\]: .*once"),
        ({"images": 9}, "corrupt_eval.images = 9: .*greater than or equal to 10"),
        ({"images": 1000.0}, "corrupt_eval.images = 1000.0: .*integer"),
        ({"seed": -1}, "corrupt_eval.seed = -1: .*greater than or equal to 0"),
        ({"cifar10c_dir": 3}, "corrupt_eval.cifar10c_dir = 3: .*valid string"),
        ({"severities": [1]}, "corrupt_eval.severities is not a known parameter"),
    ],
)
def test_a_bad_parameter_is_refused_in_one_line(change, line):
    with pytest.raises(Refusal, match=line) as refusal:
        parse({"corrupt_eval": BLOCK | change}, "corrupt_eval", CorruptEval)
    assert "\n" not in str(refusal.value)


def test_the_block_keeps_what_it_was_given():
    assert parse({"corrupt_eval": BLOCK}, "corrupt_eval", CorruptEval).model_dump() == BLOCK


def test_it_never_imports_torch():
    code = "import sys, study.corruption.catalogue; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0
