import json
import os
import shlex
import time
from pathlib import Path

import numpy as np
import pytest
from dvc.utils.cli_parse import to_path_overrides
from dvc.utils.hydra import apply_overrides
from PIL import Image

from study.pipeline.params import Refusal, read_params
from study.sources import picture_folder
from study.sources.image_files import read_image
from study.sources.picture_folder import list_pictures, read_pictures, require_enough
from study.sources.stratified_draw import Data, places

DATA = {"dataset": "folder", "path": "pictures", "side": 32, "train": 12, "val": 6, "test": 12, "seed": 0}
ODD_NAMES = ["a b", "käfer", "猫", "it's", '"quoted"', "<script>", "$x$", "{0}", "a,b=c", "-rf", "100%"]


def fill(folder, counts, size=(20, 30)):
    """PNGs in a folder for each class; an image's colour tells its class and its number."""
    for label, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Image.new("RGB", size, (40 * label, number, 100)).save(folder / name / f"{number}.png")
    return folder


def refusal(call, *arguments):
    with pytest.raises(Refusal) as refused:
        call(*arguments)
    line = str(refused.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize("names", [["cat", "dog"], [f"class {number:02}" for number in range(30)], ODD_NAMES])
def test_a_folder_for_each_class_gives_every_picture_its_label(tmp_path, names):
    listing = list_pictures(fill(tmp_path / "mine", dict.fromkeys(names, 4)))
    assert listing.classes == sorted(names)
    assert [listing.classes[label] for label in listing.train_labels] == [
        file.parent.name for file in listing.train_files
    ]
    assert np.bincount(listing.train_labels).tolist() == [4] * len(names)
    assert listing.train_labels.dtype == np.int64
    assert not listing.test_files and not len(listing.test_labels)


def test_folders_train_and_test_are_kept_apart(tmp_path):
    fill(tmp_path / "train", {"cat": 5, "dog": 4})
    fill(tmp_path / "test", {"cat": 2, "dog": 3})
    listing = list_pictures(tmp_path)
    assert listing.classes == ["cat", "dog"]
    assert {file.relative_to(tmp_path).parts[0] for file in listing.train_files} == {"train"}
    assert {file.relative_to(tmp_path).parts[0] for file in listing.test_files} == {"test"}
    assert np.bincount(listing.train_labels).tolist() == [5, 4]
    assert np.bincount(listing.test_labels).tolist() == [2, 3]


def test_a_class_may_be_called_train(tmp_path):
    assert list_pictures(fill(tmp_path, {"train": 3, "tram": 3})).classes == ["train", "tram"]


def test_the_classes_are_mixed_and_the_order_depends_on_the_names_alone(tmp_path):
    counts = {"cat": 20, "dog": 20}
    one = list_pictures(fill(tmp_path / "one", counts))
    two = list_pictures(fill(tmp_path / "two", dict(reversed(counts.items()))))
    assert [file.relative_to(tmp_path / "one") for file in one.train_files] == [
        file.relative_to(tmp_path / "two") for file in two.train_files
    ]
    assert 5 <= one.train_labels[:20].sum() <= 15


def test_pictures_below_a_class_and_behind_links_are_its_own(tmp_path):
    folder = fill(tmp_path / "mine", {"cat": 2, "dog": 2})
    fill(folder / "cat", {"indoors": 1, "outdoors": 2})
    elsewhere = fill(tmp_path / "elsewhere", {"fox": 3})
    (folder / "fox").symlink_to(elsewhere / "fox")
    (folder / "dog/linked.png").symlink_to(elsewhere / "fox/0.png")
    (folder / "cat/round").symlink_to(folder)
    listing = list_pictures(folder)
    assert listing.classes == ["cat", "dog", "fox"]
    assert np.bincount(listing.train_labels).tolist() == [2 + 1 + 2, 2 + 1, 3]


def test_what_is_hidden_or_no_picture_by_its_suffix_is_passed_over(tmp_path):
    fill(tmp_path, {"cat": 2, "dog": 2, ".git": 2})
    for name in ("Thumbs.db", "README.txt", ".DS_Store", "._0.png", ".hidden.jpg", "labels.csv", "film.mp4", "noext"):
        (tmp_path / "cat" / name).write_bytes(b"no picture")
        (tmp_path / name).write_bytes(b"no picture")
    fill(tmp_path / "cat", {".thumbnails": 3})
    listing = list_pictures(tmp_path)
    assert listing.classes == ["cat", "dog"] and len(listing.train_files) == 4
    read_pictures(listing, 32)


def test_listing_opens_no_picture(tmp_path):
    for name in ("cat/0.jpg", "cat/1.PNG", "dog/0.webp", "dog/broken.gif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no picture")
    assert len(list_pictures(tmp_path).train_files) == 4


@pytest.mark.parametrize(
    ("folders", "line"),
    [
        ([], "it has no folders: put each class's pictures in a folder named after the class"),
        (["cat"], "it has a folder for only one class, cat: at least two are needed"),
        (["train/cat", "train/dog"], "it has train/: give it train/ and test/, or only a folder per class"),
        (["train/cat", "val/cat"], "it has train/, val/: give it train/ and test/"),
        (["train/cat", "train/dog", "test/cat", "test/dog", "val/cat"], "beside train/ and test/ it has val/: move"),
        (["train/cat", "train/dog", "test/cat"], "it has a folder for only one class, cat"),
        (["train/cat", "train/dog", "test/cat", "test/cow", "test/dog"], "class cow is in test/ and not in train/"),
        (["train/a", "train/cat", "train/dog", "test/cat", "test/dog"], "class a is in train/ and not in test/"),
        (["cat", "two\nlines"], r"the folder 'two\nlines' cannot name a class: rename it, in printable UTF-8"),
    ],
)
def test_other_folders_are_refused_in_one_line(tmp_path, folders, line):
    for name in folders:
        fill(tmp_path, {name: 1})
    message = refusal(list_pictures, tmp_path)
    assert message.startswith(f"params.yaml: data.path: {tmp_path}") and line in message


def test_a_class_without_pictures_is_refused_with_the_formats_that_can_be_read(tmp_path):
    fill(tmp_path, {"cat": 2, "dog": 0})
    (tmp_path / "dog/photo.heic").write_bytes(b"heic")
    line = refusal(list_pictures, tmp_path)
    assert "the folder of class dog has no pictures (PNG, JPEG, GIF," in line


def test_no_such_folder_and_too_many_classes_are_refused(tmp_path, monkeypatch):
    assert "there is no such folder" in refusal(list_pictures, tmp_path / "nowhere")
    assert "there is no such folder" in refusal(list_pictures, Path("~/pictures"))
    monkeypatch.setattr(picture_folder, "MOST_CLASSES", 3)
    assert "it has 4 classes: at most 3 are allowed" in refusal(list_pictures, fill(tmp_path, dict.fromkeys("abcd", 1)))


def test_a_class_whose_name_is_no_utf8_is_refused(tmp_path):
    fill(tmp_path, {"cat": 1})
    os.mkdir(os.fsencode(tmp_path) + b"/caf\xe9")
    assert r"the folder 'caf\udce9' cannot name a class" in refusal(list_pictures, tmp_path)


def test_a_picture_whose_name_is_no_utf8_is_read(tmp_path):
    fill(tmp_path, {"cat": 1, "dog": 1})
    os.rename(tmp_path / "cat/0.png", os.fsencode(tmp_path) + b"/cat/caf\xe9\n.png")
    assert len(read_pictures(list_pictures(tmp_path), 32).train_images) == 2


def odd_pictures(folder):
    """One picture of each kind and shape, half of them of either class."""
    rng = np.random.default_rng(0)
    pixels = Image.fromarray(rng.integers(0, 256, (40, 70, 3), np.uint8))
    turned = pixels.getexif()
    turned[0x112] = 6
    deep = Image.fromarray(rng.integers(0, 65536, (50, 20), np.uint16))
    alpha = Image.fromarray(rng.integers(0, 256, (90, 33, 4), np.uint8))
    kinds = {
        "rgb.png": pixels,
        "grey.jpg": pixels.convert("L"),
        "cmyk.jpeg": pixels.convert("CMYK"),
        "palette.gif": pixels.convert("P"),
        "alpha.webp": alpha,
        "deep.tiff": deep,
        "one.bmp": pixels.convert("1"),
        "Tiny.PNG": pixels.crop((0, 0, 1, 1)),
        "thin.png": pixels.crop((0, 0, 70, 1)),
    }
    for place, (name, picture) in enumerate(kinds.items()):
        (folder / f"class {place % 2}").mkdir(parents=True, exist_ok=True)
        picture.save(folder / f"class {place % 2}" / name)
    pixels.save(folder / "class 0/turned.jpg", exif=turned)
    return folder


@pytest.mark.parametrize("side", [32, 48])
def test_every_picture_is_read_as_inference_reads_it(tmp_path, side):
    listing = list_pictures(odd_pictures(tmp_path))
    raw = read_pictures(listing, side)
    assert raw.train_images.shape == (10, side, side, 3) and raw.train_images.dtype == np.uint8
    assert raw.test_images.shape == (0, side, side, 3) and raw.test_labels.shape == (0,)
    for file, image in zip(listing.train_files, raw.train_images, strict=True):
        np.testing.assert_array_equal(image, read_image(file.read_bytes(), (side, side)))
    assert raw.classes == ["class 0", "class 1"]


def test_train_and_test_pictures_are_read_into_their_own_arrays(tmp_path):
    fill(tmp_path / "train", {"cat": 3, "dog": 3})
    fill(tmp_path / "test", {"cat": 2, "dog": 2})
    raw = read_pictures(list_pictures(tmp_path), 16)
    assert (raw.train_images[:, 0, 0, 0] == 40 * raw.train_labels).all()
    assert (raw.test_images[:, 0, 0, 0] == 40 * raw.test_labels).all()
    assert len(raw.train_images) == 6 and len(raw.test_images) == 4


def test_bad_pictures_are_counted_and_the_first_are_named(tmp_path):
    fill(tmp_path, {"cat": 3, "dog": 3})
    whole = (tmp_path / "cat/0.png").read_bytes()
    (tmp_path / "cat/empty.png").touch()
    assert "1 of 7 pictures cannot be read: " in (line := refusal(read_pictures, list_pictures(tmp_path), 32))
    assert f"{tmp_path}/cat/empty.png (empty file); repair them, or remove them" in line
    (tmp_path / "cat/short.png").write_bytes(whole[:-30])
    (tmp_path / "cat/text.jpg").write_text("no picture")
    (tmp_path / "dog/new\nline.gif").write_text("no picture")
    (tmp_path / "dog/gone.png").symlink_to(tmp_path / "nowhere.png")
    line = refusal(read_pictures, list_pictures(tmp_path), 32)
    assert line.startswith("5 of 11 pictures cannot be read: ")
    assert line.count(" (") == picture_folder.NAMED and " and 2 more; " in line


def test_a_pipe_in_a_class_folder_is_passed_over(tmp_path):
    fill(tmp_path, {"cat": 2, "dog": 2})
    os.mkfifo(tmp_path / "cat/pipe.png")
    assert len(list_pictures(tmp_path).train_files) == 4


def test_stderr_is_whole_again_after_reading_in_threads(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(picture_folder, "THREADS", 4)
    read_pictures(list_pictures(fill(tmp_path, {"cat": 20, "dog": 20})), 16)
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"


def test_an_interrupted_reading_does_not_read_on(tmp_path, monkeypatch):
    read = []

    def decode(data, size):
        read.append(data)
        if len(read) == 5:
            raise KeyboardInterrupt
        time.sleep(0.001)
        return np.zeros((*size, 3), np.uint8)

    monkeypatch.setattr(picture_folder, "decode", decode)
    with pytest.raises(KeyboardInterrupt):
        read_pictures(list_pictures(fill(tmp_path, {"cat": 200, "dog": 200})), 16)
    assert len(read) < 200


def enough(folder, wanted=None, **change):
    data = Data(**(DATA | {"path": str(folder)} | change))
    require_enough(data, list_pictures(folder), wanted or {})


def test_numbers_that_the_folder_has_are_accepted(tmp_path):
    enough(fill(tmp_path / "all", {"cat": 10, "dog": 20}), {"corrupt_eval.images": 12})
    fill(tmp_path / "two/train", {"cat": 10, "dog": 10})
    enough(fill(tmp_path / "two/test", {"cat": 6, "dog": 6}).parent, {"corrupt_eval.images": 12})


def changed(line):
    """The parameters after the `dvc exp run` that the line gives, read as DVC reads them."""
    command = shlex.split(line[line.index("dvc exp run") :])
    overrides = to_path_overrides(command[command.index("-S") + 1 :: 2])["params.yaml"]
    path = Path("params.yaml")
    params = {"data": DATA, "corrupt_eval": {"images": 1000}, "adversarial": {"images": 11}}
    path.write_text(json.dumps(params | {"gradcam": {"faithfulness_images": 100}}))
    apply_overrides(path, overrides)
    return read_params(path)


@pytest.mark.parametrize("name", ["mine", "my pictures", *ODD_NAMES])
@pytest.mark.parametrize("layout", ["all", "apart"])
def test_the_command_in_the_refusal_works(tmp_path, monkeypatch, name, layout):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / name
    fill(folder / "train" if layout == "apart" else folder, {"cat": 40, "dog": 20})
    if layout == "apart":
        fill(folder / "test", {"cat": 20, "dog": 10})
    wanted = {"corrupt_eval.images": 1000, "adversarial.images": 11, "gradcam.faithfulness_images": 100}
    line = refusal(lambda: enough(folder, wanted, train=45_000, val=5_000, test=10_000, side=48))
    params = changed(line)
    tested = 30 if layout == "apart" else 12  # of the 60 the fifth part
    assert params["data"] == {
        "dataset": "folder",
        "path": str(folder),
        "side": 48,
        "train": 54 if layout == "apart" else 42,
        "val": 6,
        "test": tested,
        "seed": 0,
    }
    assert params["corrupt_eval"] == {"images": tested} and params["gradcam"] == {"faithfulness_images": tested}
    assert params["adversarial"] == {"images": 11}
    require_enough(Data(**params["data"]), list_pictures(folder), {"corrupt_eval.images": tested})


def test_the_refusal_says_what_there_is(tmp_path):
    fill(tmp_path / "all", {"cat": 30, "dog": 20})
    line = refusal(lambda: enough(tmp_path / "all", train=100))
    assert "data.train + data.val + data.test = 118: there are 50 images; " in line
    assert f"{tmp_path}/all has 50 pictures of 2 classes, 20 of dog, the smallest; these numbers work: " in line


def test_only_the_parameters_that_ask_too_much_are_lowered(tmp_path):
    folder = fill(tmp_path, {"cat": 20, "dog": 20})
    line = refusal(enough, folder, {"corrupt_eval.images": 12, "adversarial.images": 13})
    assert "adversarial.images = 13: there are 12 test images (data.test)" in line
    assert "-S data.train=12 -S data.val=6 -S data.test=12 -S adversarial.images=12" in line
    assert "corrupt_eval" not in line


@pytest.mark.parametrize(("cats", "dogs"), [(200, 3), (200, 8), (20, 12), (1000, 30)])
def test_a_rare_class_gets_numbers_that_put_it_in_every_split(tmp_path, monkeypatch, cats, dogs):
    monkeypatch.chdir(tmp_path)
    folder = fill(tmp_path / "mine", {"cat": cats, "dog": dogs}, size=(1, 1))
    params = changed(refusal(lambda: enough(folder, train=10**5)))
    listing = list_pictures(folder)
    drawn = places(listing.train_labels, listing.test_labels, listing.classes, Data(**params["data"]))
    assert all(set(listing.train_labels[rows]) == {0, 1} for rows in drawn.values())
    assert sum(map(len, drawn.values())) == cats + dogs


@pytest.mark.parametrize(("cats", "dogs"), [(100, 2), (100, 1), (5, 4)])
def test_a_folder_that_no_numbers_suit_is_refused(tmp_path, cats, dogs):
    line = refusal(lambda: enough(fill(tmp_path, {"cat": cats, "dog": dogs}), train=10**5))
    assert "dvc exp run" not in line
    assert "add pictures, so that each split has every class, and test has at least 10" in line
