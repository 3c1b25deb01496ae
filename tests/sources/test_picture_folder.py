import json
import os
import re
import shlex
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from dvc.repo import Repo
from dvc.utils.cli_parse import to_path_overrides
from dvc.utils.hydra import apply_overrides
from PIL import Image

from study.pipeline.params import Refusal, read_params
from study.sources import picture_folder
from study.sources.image_files import read_image
from study.sources.picture_folder import list_pictures, read_pictures, remarks, require_enough
from study.sources.stratified_draw import Data, draw, places

DATA = {"dataset": "folder", "path": "pictures", "side": 32, "train": 12, "val": 6, "test": 12, "seed": 0}
NONE = np.zeros(0, np.int64)  # labels of a split that is drawn from all
ODD_NAMES = ["a b", "käfer", "猫", "it's", '"quoted"', "<script>", "$x$", "{0}", "a,b=c", "-rf", "100%"]


def fill(folder, counts, size=(20, 30)):
    """PNGs in a folder for each class; an image's colour tells its class and its number, and no two are alike."""
    for label, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            colour = (40 * label % 256, number % 256, 8 * label + number // 256)
            Image.new("RGB", size, colour).save(folder / name / f"{number}.png")
    return folder


PYGTRIE = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's use of it
APART = (21, 30)  # pixels: the size of a second split's pictures, so that none is a copy of the first's


def fill_split(folder, counts):
    """DIR/train and DIR/test, with the same classes."""
    for name, size in zip(("train", "test"), ((20, 30), APART), strict=True):
        fill(folder / name, counts[name], size)
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
    listing = list_pictures(fill_split(tmp_path, {"train": {"cat": 5, "dog": 4}, "test": {"cat": 2, "dog": 3}}))
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


def test_pictures_below_a_class_and_behind_links_to_files_are_its_own(tmp_path):
    folder = fill(tmp_path / "mine", {"cat": 2, "dog": 2})
    fill(folder / "cat", {"indoors": 1, "outdoors": 2}, size=APART)
    elsewhere = fill(tmp_path / "elsewhere", {"fox": 3}, size=(22, 30))
    (folder / "dog/linked.png").symlink_to(elsewhere / "fox/0.png")
    (tmp_path / "link").symlink_to(folder)
    for path in (folder, tmp_path / "link"):
        listing = list_pictures(path)
        assert listing.classes == ["cat", "dog"]
        assert np.bincount(listing.train_labels).tolist() == [2 + 1 + 2, 2 + 1]


@pytest.fixture
def tracked(tmp_path, monkeypatch):
    """The hash by which DVC tells whether a folder, a dependency of this name, has changed."""
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    Path("dvc.yaml").write_text(json.dumps({"stages": {"read": {"cmd": "echo", "deps": ["../mine", "../link"]}}}))
    with Repo.init(no_scm=True) as repo:

        def hashed(name):
            (stage,) = repo.index.stages
            (dep,) = (dep for dep in stage.deps if dep.def_path == f"../{name}")
            return dep.get_hash().value

        yield hashed


@PYGTRIE
@pytest.mark.parametrize("name", ["mine", "link"])
def test_dvc_tracks_what_links_to_files_hold_and_a_folder_that_is_a_link(tmp_path, tracked, name):
    folder = fill(tmp_path / "mine", {"cat": 2, "dog": 2})
    elsewhere = fill(tmp_path / "elsewhere", {"fox": 3}, size=(22, 30))
    (folder / "dog/linked.png").symlink_to(elsewhere / "fox/0.png")
    (tmp_path / "link").symlink_to(folder)
    before = tracked(name)
    assert tracked(name) == before
    (elsewhere / "fox/0.png").write_bytes(b"another")
    assert tracked(name) != before


@PYGTRIE
def test_dvc_does_not_track_what_a_linked_folder_holds(tmp_path, tracked):
    """Which is why such a folder is refused. Where this fails, DVC has learnt to, and links may be followed."""
    folder = fill(tmp_path / "mine", {"cat": 2, "dog": 2})
    (folder / "fox").symlink_to(fill(tmp_path / "elsewhere", {"fox": 3}) / "fox")
    before = tracked("mine")
    (tmp_path / "elsewhere/fox/0.png").write_bytes(b"another")
    assert tracked("mine") == before


@pytest.mark.parametrize("where", ["fox", "train/fox", "cat/deep/fox", "train", "cat/round"])
def test_a_link_to_a_folder_is_refused_by_its_path(tmp_path, where):
    folder = fill(tmp_path / "mine", {"cat": 2, "dog": 2})
    (folder / where).parent.mkdir(parents=True, exist_ok=True)
    fill(tmp_path / "elsewhere", {"fox": 2})
    (folder / where).symlink_to(folder if where == "cat/round" else tmp_path / "elsewhere/fox")
    line = refusal(list_pictures, folder)
    assert line.startswith(
        f"params.yaml: data.path: {folder / where}: it is a link to a folder, and DVC does not track"
    )


def test_what_dvc_cannot_hash_is_refused_by_its_path_before_dvc_meets_it(tmp_path):
    folder = fill(tmp_path, {"cat": 2, "dog": 2})
    (folder / "cat/gone.txt").symlink_to(tmp_path / "nowhere.txt")
    assert f"{folder}/cat/gone.txt: it is a broken link, and DVC cannot track it" in refusal(list_pictures, folder)
    (folder / "cat/gone.txt").unlink()
    os.mkfifo(folder / "cat/pipe.png")
    assert f"{folder}/cat/pipe.png: it is neither a file nor a folder" in refusal(list_pictures, folder)
    os.unlink(folder / "cat/pipe.png")
    (folder / os.fsdecode(b"cat/caf\xe9\n.png")).write_bytes(b"")
    assert r"/cat/caf\udce9\n.png': its name is not UTF-8, and DVC cannot track it" in refusal(list_pictures, folder)


def test_what_is_hidden_or_no_picture_by_its_suffix_is_passed_over(tmp_path):
    fill(tmp_path, {"cat": 2, "dog": 2, ".git": 2, "@eaDir": 2, "__MACOSX": 2})
    for name in ("Thumbs.db", "README.txt", ".DS_Store", "._0.png", ".hidden.jpg", "labels.csv", "film.mp4", "noext"):
        (tmp_path / "cat" / name).write_bytes(b"no picture")
        (tmp_path / name).write_bytes(b"no picture")
    fill(tmp_path / "cat", {".thumbnails": 3, "@eaDir": 3}, size=APART)
    listing = list_pictures(tmp_path)
    assert listing.classes == ["cat", "dog"] and len(listing.train_files) == 4
    read_pictures(listing, 32, "mine")


def test_what_was_left_out_is_counted_by_suffix(tmp_path):
    fill(tmp_path, {"cat": 10, "dog": 10})
    assert list_pictures(tmp_path).notes == []
    for name in ("cat/1.heic", "cat/2.HEIC", "dog/1.mp4", "dog/noext", "dog/.hidden.heic", "notes.txt"):
        (tmp_path / name).write_bytes(b"no picture")
    (tmp_path / "dog/10.heic").symlink_to(tmp_path / "dog/1.mp4")
    listing = list_pictures(tmp_path)
    assert listing.notes == ["left out 5 files without a picture's suffix: 3 .heic, 1 .mp4, 1 without a suffix"]
    line = refusal(lambda: enough(tmp_path, train=100))
    assert f"has 20 pictures of 2 classes, 10 of cat, the smallest ({listing.notes[0]}); these numbers" in line


@pytest.mark.parametrize("place", ["", "train", "test"])
def test_pictures_in_no_class_are_counted(tmp_path, place):
    fill_split(tmp_path, {"train": {"cat": 2, "dog": 2}, "test": {"cat": 2, "dog": 2}})
    for number in range(4):
        (tmp_path / place / f"{number}.png").touch()
    where = f"{place}/" if place else ""
    assert list_pictures(tmp_path).notes == [
        f"left out 4 pictures in no class's folder: {where}0.png, {where}1.png, {where}2.png and 1 more"
    ]


def test_listing_decodes_no_picture(tmp_path):
    for name in ("cat/0.jpg", "cat/1.PNG", "dog/0.webp", "dog/broken.gif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(f"no picture: {name}".encode())
    assert len(list_pictures(tmp_path).train_files) == 4


def copy(folder, source, *targets):
    for target in targets:
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / source, folder / target)


def test_a_copy_of_a_picture_counts_once(tmp_path):
    fill(tmp_path, {"cat": 20, "dog": 20})
    for name in ("cat", "dog"):
        for number in range(20):
            copy(tmp_path, f"{name}/{number}.png", *(f"{name}/deep/{number}-{again}.png" for again in range(4)))
    (tmp_path / "cat/link.png").symlink_to(tmp_path / "cat/0.png")
    listing = list_pictures(tmp_path)
    assert sorted(listing.train_files) == sorted(
        tmp_path / f"{name}/{n}.png" for name in ("cat", "dog") for n in range(20)
    )
    assert listing.notes == [
        "left out 161 copies of other pictures: cat/deep/0-0.png, cat/deep/0-1.png, cat/deep/0-2.png and 158 more"
    ]  # 40 pictures under four more names each, and a link
    assert "has 40 pictures of 2 classes, 20 of cat, the smallest (left out 161 copies of" in refusal(
        lambda: enough(tmp_path, train=100)
    )
    raw = read_pictures(listing, 16, "mine")
    splits = draw(raw, Data(**DATA | {"train": 20, "val": 8, "test": 12})).values()
    assert len({image.tobytes() for split in splits for image in split.images}) == 20 + 8 + 12


def test_a_picture_in_two_classes_is_left_out_and_named(tmp_path):
    fill(tmp_path, {"cat": 5, "dog": 5})
    copy(tmp_path, "cat/0.png", "dog/9.png", "cat/deep/8.png")
    copy(tmp_path, "dog/1.png", "cat/7.png")
    listing = list_pictures(tmp_path)
    assert np.bincount(listing.train_labels).tolist() == [4, 4]
    assert listing.notes == [
        "left out 5 files of 2 pictures in more than one class: cat/0.png = cat/deep/8.png = dog/9.png, "
        "cat/7.png = dog/1.png"
    ]


def test_a_class_of_nothing_but_another_s_pictures_is_refused(tmp_path):
    fill(tmp_path, {"cat": 3, "dog": 1})
    copy(tmp_path, "dog/0.png", "cat/9.png")
    assert "every picture of class dog is in another class too: keep it in one" in refusal(list_pictures, tmp_path)


@pytest.mark.parametrize(("one", "other"), [("train", "test"), ("train", "val"), ("val", "test")])
def test_splits_that_share_pictures_are_refused_and_the_first_are_named(tmp_path, one, other):
    for name, size in (("train", (20, 30)), ("val", APART), ("test", (22, 30))):
        fill(tmp_path / name, {"cat": 5, "dog": 5}, size)
    list_pictures(tmp_path)
    copy(tmp_path, f"{one}/cat/0.png", f"{other}/dog/9.png")
    copy(tmp_path, f"{one}/cat/1.png", f"{other}/cat/8.png", f"{other}/cat/7.png")
    pairs = [f"{one}/cat/0.png = {other}/dog/9.png", f"{one}/cat/1.png = {other}/cat/7.png = {other}/cat/8.png"]
    assert f"2 pictures in more than one split: {', '.join(pairs)}: keep each in one" in refusal(
        list_pictures, tmp_path
    )


def test_files_of_one_size_are_not_copies_for_that(tmp_path):
    for name, content in (("cat/0.png", b"ab"), ("cat/1.png", b"ba"), ("dog/0.png", b"aa"), ("dog/1.png", b"bb")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert len(list_pictures(tmp_path).train_files) == 4


def test_empty_files_are_no_copies_and_are_named_when_they_are_read(tmp_path):
    fill(tmp_path, {"cat": 1, "dog": 1})
    for name in ("cat/empty.png", "dog/empty.png"):
        (tmp_path / name).touch()
    assert "2 of 4 pictures cannot be read: " in refusal(read_pictures, list_pictures(tmp_path), 16, "mine")


def test_files_that_differ_and_are_the_same_square_are_named_when_they_are_read(tmp_path):
    rng = np.random.default_rng(0)
    fill_split(tmp_path, {"train": {"cat": 0, "dog": 0}, "test": {"cat": 0, "dog": 0}})
    for name in ("train/cat/0", "train/cat/1", "train/dog/0", "test/cat/0", "test/dog/0"):
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(tmp_path / f"{name}.png")
    listing = list_pictures(tmp_path)
    assert remarks(listing, read_pictures(listing, 16, "mine")) == []
    Image.open(tmp_path / "train/cat/0.png").save(tmp_path / "test/cat/5.bmp")
    listing = list_pictures(tmp_path)
    assert listing.notes == []
    assert remarks(listing, read_pictures(listing, 16, "mine")) == [
        "2 pictures look like another at 16 pixels a side, though the files differ: test/cat/5.bmp = train/cat/0.png"
    ]


def test_pictures_of_one_colour_to_train_on_are_counted_and_the_first_are_named(tmp_path):
    listing = list_pictures(fill_split(tmp_path, {"train": {"cat": 3, "dog": 2}, "test": {"cat": 1, "dog": 1}}))
    raw = read_pictures(listing, 16, "mine")
    assert remarks(listing, raw)[-1] == (
        "of one colour, with nothing to see: 5 pictures to train on: "
        "train/cat/0.png, train/cat/1.png, train/cat/2.png and 2 more"
    )
    raw.train_images[:, 0, 0] = np.arange(250, 255)[:, None]
    assert "one colour" not in str(remarks(listing, raw))


@pytest.mark.parametrize(
    "names",
    [
        ("train", "test"),
        ("Train", "Test"),
        ("training_set", "test_set"),
        ("seg_train", "seg_test"),
        ("Training", "Testing"),
        ("TRAIN", "testset"),
        ("train data", "test-images"),
    ],
)
def test_the_splits_go_by_their_usual_names_in_any_case(tmp_path, names):
    for name, count, size in zip(names, (3, 2), ((20, 30), APART), strict=True):
        fill(tmp_path / name, {"cat": count, "dog": count}, size)
    listing = list_pictures(tmp_path)
    assert listing.classes == ["cat", "dog"]
    assert [len(files) for files in (listing.train_files, listing.val_files, listing.test_files)] == [6, 0, 4]
    assert listing.notes == []


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val", "validation_set", "eval", "dev"])
def test_the_folder_held_out_beside_train_is_the_test_set(tmp_path, name):
    fill(tmp_path / "train", {"cat": 3, "dog": 3})
    fill(tmp_path / name, {"cat": 2, "dog": 2}, APART)
    listing = list_pictures(tmp_path)
    assert [len(files) for files in (listing.train_files, listing.val_files, listing.test_files)] == [6, 0, 4]
    assert {file.relative_to(tmp_path).parts[0] for file in listing.test_files} == {name}
    assert listing.notes == [f"{name}/ is the test set, as there is no test/"]


def test_a_val_beside_train_and_test_is_the_validation_set(tmp_path):
    for name, count, size in (("train", 9, (20, 30)), ("valid", 3, APART), ("test", 5, (22, 30))):
        fill(tmp_path / name, {"cat": count, "dog": count}, size)
    listing = list_pictures(tmp_path)
    raw = read_pictures(listing, 16, "mine")
    assert listing.notes == []
    for part, files, images, labels, count in (
        ("train", listing.train_files, raw.train_images, raw.train_labels, 18),
        ("valid", listing.val_files, raw.val_images, raw.val_labels, 6),
        ("test", listing.test_files, raw.test_images, raw.test_labels, 10),
    ):
        assert len(files) == len(images) == count
        assert {file.relative_to(tmp_path).parts[0] for file in files} == {part}
        assert (images[:, 0, 0, 0] == 40 * labels).all() and np.bincount(labels).tolist() == [count // 2] * 2
    line = refusal(lambda: enough(tmp_path, train=19, val=6, test=10))
    assert "data.train = 19: there are 18 images to train on; " in line
    assert "has 34 pictures (18 to train on, 6 to validate on, 10 to test on) of 2 classes" in line
    assert line.endswith(" -S data.train=18 -S data.val=6 -S data.test=10")
    enough(tmp_path, train=18, val=6, test=10)


@pytest.mark.parametrize("name", ["part1", "photos"])
def test_two_classes_that_hold_the_same_folders_and_nothing_else_are_refused(tmp_path, name):
    fill(tmp_path / "cleaned", {"cat": 2, "dog": 2})
    fill(tmp_path / name, {"cat": 2, "dog": 2}, APART)
    line = refusal(list_pictures, tmp_path)
    assert f"cleaned/, {name}/ hold the same folders and no pictures beside them (cat/, dog/)" in line
    (tmp_path / name / "loose.png").write_bytes(b"a picture beside the folders")
    assert list_pictures(tmp_path).classes == ["cleaned", name]


def test_classes_may_each_hold_one_folder_of_the_same_name(tmp_path):
    """As Tiny ImageNet's do."""
    for number, name in enumerate(("n01443537", "n01629819")):
        fill(tmp_path / name, {"images": 3}, (20 + number, 30))
    assert list_pictures(tmp_path).classes == ["n01443537", "n01629819"]


@pytest.mark.parametrize(
    ("one", "other", "shown"),
    [
        ("caf\xe9", "cafe\u0301", r"'cafe\u0301' and 'caf\xe9'"),
        ("cat", "cat ", "'cat' and 'cat '"),
        ("Cat", "cat", "'Cat' and 'cat'"),
        ("stra\xdfe", "STRASSE", r"'STRASSE' and 'stra\xdfe'"),
    ],
)
def test_classes_that_can_be_taken_for_one_are_refused_with_their_difference_in_view(tmp_path, one, other, shown):
    folder = fill(tmp_path / "all", {one: 2, other: 2, "dog": 2})
    assert f"the classes {shown} differ only in case, in spaces around them or in how" in refusal(list_pictures, folder)
    apart = fill_split(tmp_path / "apart", {"train": {one: 2, "dog": 2}, "test": {other: 2, "dog": 2}})
    assert f"the classes {shown} differ only in" in refusal(list_pictures, apart)


@pytest.mark.parametrize(
    ("folders", "line"),
    [
        ([], "it has no folders: put each class's pictures in a folder named after the class"),
        (["cat"], "it has a folder for only one class, cat: at least two are needed"),
        (["train/cat", "train/dog"], "it has train/: give it train/ and test/, or only a folder per class"),
        (["val/cat", "test/cat"], "it has test/, val/: give it train/ and test/, or only a folder per class"),
        (["train/cat", "train/dog", "Train/cat", "test/cat"], "it has Train/, train/, each of them train/ by its name"),
        (["train/cat", "test/cat", "val/cat", "valid/cat"], "it has val/, valid/, each of them val/ by its name"),
        (["train/cat", "train/dog", "test/cat", "test/dog", "more/cat"], "beside train/, test/ it has more/: move its"),
        (["train/cat", "train/dog", "val/cat", "val/dog", "more/cat"], "beside train/, val/ it has more/: move its"),
        (
            ["train/cat", "train/dog", "test/cat", "test/dog", "val/cat", "val/cow"],
            "class cow is in val/ and not in tr",
        ),
        (["seg_train/seg_train/cat", "seg_test/seg_test/cat"], "it has a folder for only one class, seg_"),
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
    raw = read_pictures(listing, side, "mine")
    assert raw.train_images.shape == (10, side, side, 3) and raw.train_images.dtype == np.uint8
    assert raw.test_images.shape == (0, side, side, 3) and raw.test_labels.shape == (0,)
    for file, image in zip(listing.train_files, raw.train_images, strict=True):
        np.testing.assert_array_equal(image, read_image(file.read_bytes(), (side, side)))
    assert raw.facts == ("mine", ["class 0", "class 1"], True)


def test_train_and_test_pictures_are_read_into_their_own_arrays(tmp_path):
    fill_split(tmp_path, {"train": {"cat": 3, "dog": 3}, "test": {"cat": 2, "dog": 2}})
    raw = read_pictures(list_pictures(tmp_path), 16, "mine")
    assert (raw.train_images[:, 0, 0, 0] == 40 * raw.train_labels).all()
    assert (raw.test_images[:, 0, 0, 0] == 40 * raw.test_labels).all()
    assert len(raw.train_images) == 6 and len(raw.test_images) == 4


def test_bad_pictures_are_counted_and_the_first_are_named(tmp_path):
    fill(tmp_path, {"cat": 3, "dog": 3})
    whole = (tmp_path / "cat/0.png").read_bytes()
    (tmp_path / "cat/empty.png").touch()
    assert "1 of 7 pictures cannot be read: " in (line := refusal(read_pictures, list_pictures(tmp_path), 32, "mine"))
    assert f"{tmp_path}/cat/empty.png (empty file); repair them, or remove them" in line
    (tmp_path / "cat/short.png").write_bytes(whole[:-30])
    (tmp_path / "cat/text.jpg").write_text("no picture")
    (tmp_path / "dog/new\nline.gif").write_text("no picture either")
    (tmp_path / "dog/cut.png").write_bytes(whole[:-40])
    line = refusal(read_pictures, list_pictures(tmp_path), 32, "mine")
    assert line.startswith("5 of 11 pictures cannot be read: ")
    assert line.count(" (") == picture_folder.NAMED and " and 2 more; " in line


def test_stderr_is_whole_again_after_reading_in_threads(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(picture_folder, "THREADS", 4)
    read_pictures(list_pictures(fill(tmp_path, {"cat": 20, "dog": 20})), 16, "mine")
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"


def test_an_interrupted_reading_does_not_read_on(tmp_path, monkeypatch):
    read = []

    def decode(data, size):
        read.append(data)
        if len(read) == 5:
            raise KeyboardInterrupt
        time.sleep(0.1)
        return np.zeros((*size, 3), np.uint8)

    monkeypatch.setattr(picture_folder, "decode", decode)
    with pytest.raises(KeyboardInterrupt):
        read_pictures(list_pictures(fill(tmp_path, {"cat": 200, "dog": 200})), 16, "mine")
    assert len(read) < 200


def enough(folder, wanted=None, **change):
    data = Data(**(DATA | {"path": str(folder)} | change))
    require_enough(data, list_pictures(folder), wanted or {})


def test_numbers_that_the_folder_has_are_accepted(tmp_path):
    enough(fill(tmp_path / "all", {"cat": 10, "dog": 20}), {"corrupt_eval.images": 12})
    two = fill_split(tmp_path / "two", {"train": {"cat": 10, "dog": 10}, "test": {"cat": 6, "dog": 6}})
    enough(two, {"corrupt_eval.images": 12})


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
@pytest.mark.parametrize(
    ("parts", "counts"),
    [
        ({"": 20}, (42, 6, 12)),  # of the 60, a tenth is val and a fifth test
        ({"train": 20, "test": 10}, (54, 6, 30)),
        ({"train": 20, "val": 10}, (54, 6, 30)),
        ({"Train": 20, "Valid": 4, "Test": 10}, (60, 12, 30)),
    ],
    ids=["all", "test", "val", "val and test"],
)
def test_the_command_in_the_refusal_works(tmp_path, monkeypatch, name, parts, counts):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / name
    for number, (part, dogs) in enumerate(parts.items()):
        fill(folder / part, {"cat": 2 * dogs, "dog": dogs}, (20 + number, 30))
    wanted = {"corrupt_eval.images": 1000, "adversarial.images": 11, "gradcam.faithfulness_images": 100}
    line = refusal(lambda: enough(folder, wanted, train=45_000, val=5_000, test=10_000, side=48))
    params = changed(line)
    train, val, tested = counts
    assert params["data"] == {
        "dataset": "folder",
        "path": str(folder),
        "side": 48,
        "train": train,
        "val": val,
        "test": tested,
        "seed": 0,
    }
    assert params["corrupt_eval"] == {"images": tested} and params["gradcam"] == {"faithfulness_images": tested}
    assert params["adversarial"] == {"images": 11}
    require_enough(Data(**params["data"]), list_pictures(folder), {"corrupt_eval.images": tested})


@pytest.mark.parametrize("name", ["your-pictures", "troubleshooting"])
def test_the_quoting_in_the_docs_is_what_the_shell_and_dvc_read(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / f"docs/{name}.md").read_text()
    quoted = re.findall(r"`(-S 'data\.path=[^`]+)`", page)
    paths = [changed(f"dvc exp run {setting}")["data"]["path"] for setting in quoted]
    assert paths == ["/home/me/Été (2024)", "/home/me/Zoé's = mine"][: 2 if name == "your-pictures" else 1]


@pytest.mark.parametrize(
    ("value", "words"),
    [("été", "LexerNoViableAltException"), ("a=b", "mismatched input"), ("a (b)", "Error parsing override")],
)
def test_the_errors_in_the_docs_are_those_of_a_path_without_quotes(tmp_path, monkeypatch, value, words):
    monkeypatch.chdir(tmp_path)
    assert words in (Path(__file__).parents[2] / "docs/troubleshooting.md").read_text()
    with pytest.raises(Exception) as refused:
        changed(f"dvc exp run -S {shlex.quote(f'data.path={value}')}")
    assert words in f"{type(refused.value).__name__} {refused.value} {refused.value.__cause__!r}"


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
    drawn = places(listing.train_labels, NONE, NONE, listing.classes, Data(**params["data"]))
    assert all(set(listing.train_labels[rows]) == {0, 1} for rows in drawn.values())
    assert sum(map(len, drawn.values())) == cats + dogs


@pytest.mark.parametrize(("cats", "dogs"), [(100, 2), (100, 1), (5, 4)])
def test_a_folder_that_no_numbers_suit_is_refused(tmp_path, cats, dogs):
    line = refusal(lambda: enough(fill(tmp_path, {"cat": cats, "dog": dogs}), train=10**5))
    assert "dvc exp run" not in line
    assert "add pictures, so that each split has every class, and test has at least 10" in line
