import hashlib
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lab.backbone import tiny_imagenet
from lab.backbone.tiny_imagenet import find, load
from study.pipeline.params import Refusal

from .conftest import COLOURS


def test_load_reads_every_picture_with_its_label(official_folder: Path, tmp_path: Path) -> None:
    data = load(official_folder, tmp_path)

    assert data.classes == ["n01", "n02", "n03", "n04"]
    assert data.train.images.shape == (24, 64, 64, 3)
    assert data.train.labels.tolist() == [0] * 6 + [1] * 6 + [2] * 6 + [3] * 6
    assert data.val.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    for split in (data.train, data.val):
        assert (split.images.dtype, split.labels.dtype) == (np.uint8, np.int64)
        colours = np.array(list(COLOURS.values()))[split.labels]
        assert np.abs(split.images - colours[:, None, None, :]).max() <= 3  # JPEG rounds


def test_a_grey_picture_becomes_three_equal_channels(official_folder: Path, tmp_path: Path) -> None:
    Image.new("L", (64, 64), 90).save(official_folder / "train/n01/images/n01_0.JPEG")

    assert (load(official_folder, tmp_path).train.images[0] == 90).all()


def test_a_second_load_decodes_nothing(official_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(official_folder, tmp_path)
    monkeypatch.setattr(Image, "open", None)

    second = load(official_folder, tmp_path)

    assert second.key == first.key
    np.testing.assert_array_equal(second.train.images, first.train.images)


def test_an_added_picture_is_not_taken_from_the_cache(official_folder: Path, tmp_path: Path) -> None:
    first = load(official_folder, tmp_path)
    Image.new("RGB", (64, 64)).save(official_folder / "train/n01/images/n01_6.JPEG")

    second = load(official_folder, tmp_path)

    assert second.key != first.key
    assert len(second.train.images) == 25


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda folder: (folder / "wnids.txt").unlink(), "wnids.txt is missing: point TINY_IMAGENET_DIR"),
        (lambda folder: shutil.rmtree(folder / "train/n02"), "train/n02/images holds no .JPEG"),
        (lambda folder: (folder / "val/val_annotations.txt").unlink(), "val_annotations.txt is missing"),
        (lambda folder: (folder / "val/val_annotations.txt").write_text(""), "val_annotations.txt is empty"),
        (lambda folder: (folder / "val/val_annotations.txt").write_text("a.JPEG\tn99\n"), "line 1: class 'n99'"),
        (lambda folder: (folder / "val/val_annotations.txt").write_text("a.JPEG n01\n"), "line 1: class ''"),
        (lambda folder: (folder / "val/images/val_4.JPEG").unlink(), "line 2: .*val_4.JPEG is missing"),
        (lambda folder: truncate(folder / "train/n03/images/n03_2.JPEG"), "n03_2.JPEG is no readable picture"),
        (lambda folder: (folder / "val/images/val_1.JPEG").write_text("no"), "val_1.JPEG is no readable picture"),
        (
            lambda folder: Image.new("RGB", (64, 32)).save(folder / "val/images/val_1.JPEG"),
            "val_1.JPEG is 64 x 32 pixels, not 64 x 64",
        ),
    ],
)
def test_a_bad_layout_is_refused_in_one_line(
    official_folder: Path, tmp_path: Path, damage: Callable[[Path], None], complaint: str
) -> None:
    damage(official_folder)

    with pytest.raises(Refusal, match=complaint) as refusal:
        load(official_folder, tmp_path / "cache")

    assert "\n" not in str(refusal.value)


def test_pictures_that_were_not_all_decoded_are_not_kept(official_folder: Path, tmp_path: Path) -> None:
    truncate(official_folder / "train/n04/images/n04_5.JPEG")

    with pytest.raises(Refusal):
        load(official_folder, tmp_path / "cache")

    assert not list(tmp_path.glob("cache/*"))


def test_find_prefers_the_given_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINY_IMAGENET_DIR", "given")

    assert find(tmp_path) == Path("given")


@pytest.fixture
def archive(official_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The archive that `find` downloads is a small one on this machine's own host."""
    archive = Path(shutil.make_archive(tmp_path / "host", "zip", official_folder.parent, official_folder.name))
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    host = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=host.serve_forever).start()
    monkeypatch.delenv("TINY_IMAGENET_DIR", raising=False)
    monkeypatch.setattr(tiny_imagenet, "URL", f"http://127.0.0.1:{host.server_port}/{archive.name}")
    monkeypatch.setattr(tiny_imagenet, "MD5", hashlib.md5(archive.read_bytes()).hexdigest())
    yield archive
    host.shutdown()
    host.server_close()


def test_find_downloads_and_unpacks_the_archive_once(archive: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"

    folder = find(cache)
    archive.unlink()

    assert len(load(folder, cache).train.labels) == 24
    assert find(cache) == folder


def test_an_archive_with_the_wrong_md5_is_not_unpacked(archive: Path, tmp_path: Path) -> None:
    archive.write_bytes(archive.read_bytes() + b"!")

    with pytest.raises(Refusal, match=r"host.zip could not be downloaded: .* or point TINY_IMAGENET_DIR"):
        find(tmp_path / "cache")

    assert not list((tmp_path / "cache").glob("**/*.JPEG"))


def test_an_unreachable_host_is_refused_with_the_way_out(archive: Path, tmp_path: Path) -> None:
    archive.unlink()

    with pytest.raises(Refusal, match=r"could not be downloaded: .* or point TINY_IMAGENET_DIR"):
        find(tmp_path / "cache")
