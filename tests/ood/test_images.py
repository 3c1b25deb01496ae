import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from study.ood.images import Ood, coloured_noise, outside_sets, patch_shuffled, require_pictures, resized, uniform_noise
from study.pipeline.params import Refusal, parse
from study.sources import digits

BLOCK = {"images": 12, "train_images": 20, "neighbours": 5, "paths": [], "seed": 0}
CLASSES = ["plane", "bird", "cat"]
MADE = ["digits", "patch_shuffled", "uniform_noise", "coloured_noise"]


def block(**change):
    return parse({"ood": BLOCK | change}, "ood", Ood)


def fill(folder, count):
    """PNGs whose red tells their number."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", (20, 30), (number, 50, 100)).save(folder / f"{number:02}.png")
    return folder


def refusal(*folders):
    with pytest.raises(Refusal, match=r"^params.yaml: ood.paths: ") as refused:
        require_pictures(folders)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def sets(inside, classes=CLASSES, folders=(), **change):
    return dict(outside_sets(inside, classes, block(**change), folders))


def test_every_set_is_of_the_images_size(images, tmp_path):
    found = sets(images, folders=[fill(tmp_path / "photos", 15), fill(tmp_path / "few", 3)])
    assert {name: of.shape for name, of in found.items()} == {
        "digits": (12, 32, 32, 3),
        **dict.fromkeys(MADE[1:], (40, 32, 32, 3)),
        "photos": (12, 32, 32, 3),
        "few": (3, 32, 32, 3),
    }
    assert {of.dtype for of in found.values()} == {np.dtype(np.uint8)}
    assert sets(images[:, :20, :20])["digits"].shape == (12, 20, 20, 3)


def test_the_digits_are_left_out_when_they_are_the_classes(images):
    assert list(sets(images, digits.load().facts.classes)) == MADE[1:]
    assert list(sets(images, ["0", "1"])) == MADE


def test_digits_are_drawn_without_replacement_and_are_all_there_when_enough_are_asked_for(images):
    raw = digits.load()
    every = {image.tobytes() for image in np.concatenate([raw.train_images, raw.test_images])}
    found = sets(images, images=10_000)["digits"]
    assert len(found) == len(load_digits().images)
    assert {image.tobytes() for image in found} == every
    few = sets(images, images=500)["digits"]
    assert len({image.tobytes() for image in few}) == 500


def test_other_seeds_give_other_images_and_the_same_seed_the_same(images, tmp_path):
    folders = [fill(tmp_path / "photos", 40)]
    one, again, other = (sets(images, folders=folders, seed=seed) for seed in (0, 0, 1))
    for name, of in one.items():
        np.testing.assert_array_equal(again[name], of)
        assert (other[name] != of).any()


def test_images_of_the_right_size_are_not_changed_by_resizing(images):
    np.testing.assert_array_equal(resized(images, 32), images)
    assert resized(np.full((2, 32, 32, 3), 77, np.uint8), 9).tolist() == np.full((2, 9, 9, 3), 77).tolist()


def squares(image, cell):
    """The 4 x 4 squares of an image, as bytes."""
    return [
        image[top : top + cell, left : left + cell].tobytes()
        for top in range(0, 4 * cell, cell)
        for left in range(0, 4 * cell, cell)
    ]


def test_a_shuffled_image_has_the_squares_of_the_image_in_an_order_of_its_own(images):
    shuffled = patch_shuffled(images, seed=0)
    orders = set()
    for image, mixed in zip(images, shuffled, strict=True):
        before, after = squares(image, 8), squares(mixed, 8)
        assert sorted(before) == sorted(after)
        orders.add(tuple(before.index(square) for square in after))
    assert len(orders) == len(images) and tuple(range(16)) not in orders


def test_the_last_columns_and_rows_stay_where_four_squares_do_not_fill_the_side(images):
    images = images[:, :30, :30]
    shuffled = patch_shuffled(images, seed=0)
    assert sorted(squares(images[0], 7)) == sorted(squares(shuffled[0], 7))
    np.testing.assert_array_equal(shuffled[:, 28:], images[:, 28:])
    np.testing.assert_array_equal(shuffled[:, :, 28:], images[:, :, 28:])


def test_shuffling_leaves_the_images_given_as_they_are(images):
    before = images.copy()
    patch_shuffled(images, seed=0)
    np.testing.assert_array_equal(images, before)


def test_uniform_noise_has_every_value_equally_often(images):
    counts = np.bincount(uniform_noise(images, seed=3).ravel(), minlength=256)
    mean = images.size / 256
    assert len(counts) == 256
    assert (abs(counts - mean) < 5 * np.sqrt(mean)).all()  # a count's variance is about its mean


def test_coloured_noise_has_the_mean_and_std_of_each_channel():
    rng = np.random.default_rng(0)
    images = rng.normal([90, 120, 150], [10, 20, 15], (50, 32, 32, 3)).round().astype(np.uint8)
    noise = coloured_noise(images, seed=0)
    std = images.std(axis=(0, 1, 2))
    error = std / np.sqrt(50 * 32 * 32)  # of a mean
    assert (abs(noise.mean(axis=(0, 1, 2)) - images.mean(axis=(0, 1, 2))) < 5 * error).all()
    np.testing.assert_allclose(noise.std(axis=(0, 1, 2)), std, rtol=0.02)


def test_coloured_noise_beyond_white_and_black_is_white_and_black():
    images = np.zeros((10, 32, 32, 3), np.uint8)
    images[:5] = 255  # mean and std 127.5: a third of the noise is further away
    noise = coloured_noise(images, seed=0)
    for end in (0, 255):
        assert np.mean(noise == end) == pytest.approx(0.159, abs=0.01)


def test_a_folder_s_pictures_are_drawn_without_replacement_hidden_ones_left_out(images, tmp_path):
    folder = fill(tmp_path / "photos", 30)
    fill(folder / ".hidden", 40)
    Image.new("RGB", (20, 30), (255, 50, 100)).save(folder / ".99.png")
    (folder / "notes.txt").write_text("no picture")
    fill(folder / "below", 1)
    numbers = sets(images, folders=[folder])["photos"][:, 0, 0, 0].tolist()
    assert len(numbers) == len(set(numbers)) == 12 and max(numbers) < 30
    everything = sets(images, folders=[folder], images=1000)["photos"]
    assert sorted(everything[:, 0, 0, 0].tolist()) == sorted([*range(30), 0])


def test_a_set_has_its_folder_s_name_however_the_folder_is_written(tmp_path, monkeypatch):
    fill(tmp_path / "photos/below", 2)
    monkeypatch.chdir(tmp_path / "photos")
    for path in (tmp_path / "photos", tmp_path / "photos/below/..", tmp_path.joinpath("photos").relative_to(tmp_path)):
        monkeypatch.chdir(tmp_path)
        assert {name: len(files) for name, files in require_pictures([path]).items()} == {"photos": 2}


def test_no_picture_is_opened_to_check_the_folders(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/1.png").touch()
    assert require_pictures([tmp_path / "photos"]) == {"photos": [tmp_path / "photos/1.png"]}
    assert require_pictures([]) == {}


def test_a_picture_that_cannot_be_read_is_refused_by_name(images, tmp_path):
    (fill(tmp_path / "photos", 3) / "bad.png").write_text("no picture")
    with pytest.raises(Refusal, match=r"^1 of 4 pictures cannot be read: [^\n]*photos/bad.png [^\n]+$"):
        sets(images, folders=[tmp_path / "photos"])


def test_a_missing_folder_a_file_and_an_empty_folder_are_refused_in_one_line(tmp_path):
    assert f"{tmp_path}/photos: there is no such folder" in refusal(tmp_path / "photos")
    (tmp_path / "photo.png").touch()
    assert "there is no such folder" in refusal(fill(tmp_path / "others", 2), tmp_path / "photo.png")
    fill(tmp_path / "photos/.hidden", 2)
    assert f"{tmp_path}/photos: no pictures in this folder" in refusal(tmp_path / "photos")
    assert "there is no such folder" in refusal(tmp_path / "two\nlines")


def test_a_folder_whose_name_is_taken_or_cannot_be_written_is_refused_in_one_line(tmp_path):
    assert "another set is called digits: rename the folder" in refusal(fill(tmp_path / "digits", 2))
    twins = [fill(tmp_path / name / "photos", 2) for name in ("one", "two")]
    assert "another set is called photos: rename the folder" in refusal(*twins)
    assert r"'two\nlines' cannot name a set" in refusal(fill(tmp_path / "two\nlines", 2))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"images": 9}, "ood.images = 9: .*greater than or equal to 10"),
        ({"train_images": 9, "neighbours": 5}, "ood.train_images = 9: .*greater than or equal to 10"),
        ({"neighbours": 0}, "ood.neighbours = 0: .*greater than or equal to 1"),
        ({"neighbours": 21}, r"ood.neighbours = 21: there are 20 images to compare with \(ood.train_images\)"),
        ({"paths": "photos"}, "ood.paths = 'photos': .*valid list"),
        ({"paths": [""]}, "ood.paths.0 = '': .*at least 1 character"),
        ({"seed": -1}, "ood.seed = -1: .*greater than or equal to 0"),
        ({"share": 0.9}, "ood.share is not a known parameter"),
    ],
)
def test_a_bad_parameter_is_refused_in_one_line(change, line):
    with pytest.raises(Refusal, match=line) as refused:
        block(**change)
    assert "\n" not in str(refused.value)


def test_the_block_keeps_what_it_was_given():
    assert block(neighbours=20, paths=["photos"]).model_dump() == BLOCK | {"neighbours": 20, "paths": ["photos"]}
