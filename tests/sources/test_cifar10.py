import hashlib
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from study.data.splits import save_facts
from study.pipeline.params import Refusal
from study.sources import digits, fetch
from study.sources.cifar10 import CIFAR10 as SOURCE

CIFAR10, at_hand, load = SOURCE.published, SOURCE.at_hand, SOURCE.load
CACHE = SOURCE.cache(Path())

REAL_CIFAR10 = os.environ.get("CIFAR10_DIR")
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
TIMES = int(os.environ.get("FAULT_TIMES", 1))  # how-deep faults takes more
BATCH = 20  # images in each of the six small batches


def _md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture(autouse=True)
def _no_network(monkeypatch, dead_address):
    monkeypatch.delenv("CIFAR10_DIR", raising=False)
    monkeypatch.delenv("CIFAR10_URL", raising=False)
    monkeypatch.setattr(CIFAR10, "url", f"{dead_address}/official.tar.gz")
    monkeypatch.setattr(fetch, "PAUSE", 0)


@pytest.fixture
def official(tmp_path, monkeypatch):
    """A folder in the official layout, unpacked and as the archive, whose md5s stand in for the official ones."""
    folder = tmp_path / "official/cifar-10-batches-py"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    names = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
    for name in names:
        data = generator.integers(0, 256, (BATCH, 3072), np.uint8)
        (folder / name).write_bytes(pickle.dumps({"data": data, "labels": [i % 10 for i in range(BATCH)]}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": CLASSES}))
    with tarfile.open(folder.parent / CIFAR10.filename, "w:gz") as tar:
        tar.add(folder, folder.name)
    sums = [[name, _md5(folder / name)] for name in names]
    monkeypatch.setattr(CIFAR10, "train_list", sums[:5])
    monkeypatch.setattr(CIFAR10, "test_list", sums[5:])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": _md5(folder / "batches.meta")})
    monkeypatch.setattr(CIFAR10, "tgz_md5", _md5(folder.parent / CIFAR10.filename))
    return folder.parent


@pytest.fixture
def archive(official):
    return official / CIFAR10.filename


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def _assert_is_official(raw, official):
    batch = pickle.loads((official / "cifar-10-batches-py/data_batch_2").read_bytes())
    red, green, blue = batch["data"][3].reshape(3, 32, 32)
    np.testing.assert_array_equal(raw.train_images[BATCH + 3], np.stack([red, green, blue], axis=-1))
    assert raw.train_images.shape == (5 * BATCH, 32, 32, 3) and raw.test_images.shape == (BATCH, 32, 32, 3)
    assert raw.train_images.dtype == np.uint8 and raw.train_labels.dtype == np.int64
    assert raw.train_labels.tolist() == list(range(10)) * 10 and raw.test_labels.tolist() == list(range(10)) * 2
    assert raw.facts == ("CIFAR-10", CLASSES, True)


def test_cifar10_is_read_from_the_unpacked_folder(official, archive, root, monkeypatch):
    archive.unlink()
    monkeypatch.setenv("CIFAR10_DIR", str(official))
    _assert_is_official(load(root), official)


def test_cifar10_is_read_from_the_archive_and_the_unpacked_copy_is_removed(official, archive, root, monkeypatch):
    (archive.parent / "elsewhere").mkdir()
    archive.rename(archive.parent / "elsewhere" / archive.name)
    monkeypatch.setenv("CIFAR10_DIR", str(archive.parent / "elsewhere"))
    _assert_is_official(load(root), official)
    assert list((root / CACHE).iterdir()) == []


def test_cifar10_is_downloaded_once(official, archive, root, file_server, monkeypatch):
    file_server.files["/official.tar.gz"] = archive.read_bytes()
    monkeypatch.setattr(CIFAR10, "url", f"{file_server.address}/official.tar.gz")
    for _ in range(2):
        _assert_is_official(load(root), official)
    assert len(file_server.ranges) == 1


def test_a_damaged_download_is_replaced(official, archive, root, file_server, monkeypatch):
    cached = root / CACHE / CIFAR10.filename
    cached.parent.mkdir(parents=True)
    cached.write_bytes(archive.read_bytes()[:-100])
    file_server.files["/official.tar.gz"] = archive.read_bytes()
    monkeypatch.setattr(CIFAR10, "url", f"{file_server.address}/official.tar.gz")
    _assert_is_official(load(root), official)


def test_mirrors_are_tried_after_the_official_address(official, archive, root, file_server, dead_address, monkeypatch):
    file_server.files["/mirror.tar.gz"] = archive.read_bytes()
    monkeypatch.setenv("CIFAR10_URL", f"{dead_address}/a.tar.gz,{file_server.address}/mirror.tar.gz")
    _assert_is_official(load(root), official)


def test_a_mirror_with_another_archive_is_refused(official, root, file_server, monkeypatch):
    file_server.files["/mirror.tar.gz"] = b"another archive"
    monkeypatch.setenv("CIFAR10_URL", f"{file_server.address}/mirror.tar.gz")
    with pytest.raises(Refusal, match="not the file with md5"):
        load(root)


def test_without_network_the_refusal_is_one_line_that_names_the_ways_out(root):
    with pytest.raises(Refusal) as refusal:
        load(root)
    message = str(refusal.value)
    assert message.startswith("CIFAR-10 cannot be downloaded (127.0.0.1: ConnectionError): ")
    assert all(way in message for way in ("CIFAR10_DIR", "CIFAR10_URL", "-S data.dataset=digits"))
    assert "\n" not in message


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_a_file_cut_short_is_refused_by_name_and_never_unpickled(official, root, monkeypatch, name):
    path = official / "cifar-10-batches-py" / name
    path.write_bytes(path.read_bytes()[:-1])
    monkeypatch.setenv("CIFAR10_DIR", str(official))
    monkeypatch.setattr(pickle, "load", lambda *args, **options: pytest.fail("unpickled"))
    with pytest.raises(Refusal, match=f"{name} is damaged or cut short"):
        load(root)


class Hostile:
    """Its pickle runs a command of its author's choice when it is loaded."""

    def __reduce__(self):
        return pytest.fail, ("unpickled",)


def mutations(content, rng):
    """Contents that are not quite `content`: bits turned, cut off, left out, doubled, replaced."""
    for _ in range(20 * TIMES):
        start, length = (int(value) for value in rng.integers(1, len(content) // 2, 2))
        end = start + length
        turned = bytearray(content)
        turned[start] ^= 1 << int(rng.integers(8))
        yield from (bytes(turned), content[:start], content[:start] + content[end:], content[:end] + content[start:])
        yield content[:start] + rng.bytes(length) + content[end:]
    yield from (b"", content + b"\0", pickle.dumps(Hostile()), pickle.dumps(Hostile()) + content)


def _assert_is_refused_unread(root, name, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(pickle, "load", lambda *args, **options: pytest.fail("unpickled"))
        patched.setattr(tarfile, "open", lambda *args, **options: pytest.fail("unpacked"))
        with pytest.raises(Refusal) as refusal:
            load(root)
    assert f"{name} is damaged" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["data_batch_1", "data_batch_5", "test_batch", "batches.meta"])
def test_a_batch_changed_in_any_way_is_refused_by_name_and_never_unpickled(
    official, root, monkeypatch, record_property, name
):
    monkeypatch.setenv("CIFAR10_DIR", str(official))
    path = official / "cifar-10-batches-py" / name
    contents = list(mutations(path.read_bytes(), np.random.default_rng(0)))
    for content in contents:
        path.write_bytes(content)
        _assert_is_refused_unread(root, name, monkeypatch)
    record_property("refused by name, unread", len(contents))


@pytest.mark.parametrize(
    ("one", "other", "named"),
    [
        ("data_batch_1", "data_batch_2", "data_batch_1"),
        ("data_batch_4", "test_batch", "data_batch_4"),
        ("test_batch", "batches.meta", "test_batch"),
    ],
)
def test_two_batches_that_changed_places_are_refused(official, root, monkeypatch, one, other, named):
    monkeypatch.setenv("CIFAR10_DIR", str(official))
    folder = official / "cifar-10-batches-py"
    (folder / one).rename(folder / "spare")
    (folder / other).rename(folder / one)
    (folder / "spare").rename(folder / other)
    _assert_is_refused_unread(root, named, monkeypatch)


def test_a_folder_in_place_of_a_batch_is_refused(official, root, monkeypatch):
    monkeypatch.setenv("CIFAR10_DIR", str(official))
    (official / "cifar-10-batches-py/data_batch_3").unlink()
    (official / "cifar-10-batches-py/data_batch_3").mkdir()
    _assert_is_refused_unread(root, "data_batch_3", monkeypatch)


def test_an_archive_changed_in_any_way_is_refused_and_never_unpacked(
    official, archive, root, monkeypatch, record_property
):
    given = root / "given" / archive.name
    given.parent.mkdir()
    monkeypatch.setenv("CIFAR10_DIR", str(given.parent))
    contents = list(mutations(archive.read_bytes(), np.random.default_rng(0)))
    for content in contents:
        given.write_bytes(content)
        _assert_is_refused_unread(root, archive.name, monkeypatch)
    record_property("refused by name, unread", len(contents))


def test_an_archive_of_the_right_files_beside_others_is_refused(official, archive, root, monkeypatch):
    given = root / "given" / archive.name
    given.parent.mkdir()
    with tarfile.open(given, "w:gz") as tar:
        tar.add(official / "cifar-10-batches-py", "cifar-10-batches-py")
        tar.add(archive, "../outside")
    monkeypatch.setenv("CIFAR10_DIR", str(given.parent))
    _assert_is_refused_unread(root, archive.name, monkeypatch)


def test_an_archive_that_climbs_out_of_its_folder_writes_nothing_there_even_with_the_right_md5(
    official, root, monkeypatch
):
    given = root / "given" / CIFAR10.filename
    given.parent.mkdir()
    with tarfile.open(given, "w:gz") as tar:
        tar.add(official / "cifar-10-batches-py/batches.meta", "../outside")
    monkeypatch.setattr(CIFAR10, "tgz_md5", _md5(given))
    monkeypatch.setenv("CIFAR10_DIR", str(given.parent))
    with pytest.raises(Refusal, match="data_batch_1 is missing"):
        load(root)
    assert list(root.rglob("outside")) == []


def test_a_missing_file_is_refused_by_name(official, root, monkeypatch):
    (official / "cifar-10-batches-py/data_batch_5").unlink()
    monkeypatch.setenv("CIFAR10_DIR", str(official))
    with pytest.raises(Refusal, match="data_batch_5 is missing"):
        load(root)


def test_a_damaged_archive_is_refused_by_name(official, archive, root, monkeypatch):
    copy = root / "given" / archive.name
    copy.parent.mkdir()
    copy.write_bytes(archive.read_bytes()[:-1])
    monkeypatch.setenv("CIFAR10_DIR", str(copy.parent))
    with pytest.raises(Refusal, match=r"cifar-10-python\.tar\.gz is damaged"):
        load(root)


def test_a_folder_that_holds_no_cifar10_is_refused(root, monkeypatch):
    monkeypatch.setenv("CIFAR10_DIR", str(root))
    with pytest.raises(Refusal, match=r"cifar-10-python\.tar\.gz is missing: set CIFAR10_DIR to a folder"):
        load(root)


def test_cifar10_is_at_hand_where_a_copy_is(root, monkeypatch):
    assert not at_hand(root)

    monkeypatch.setenv("CIFAR10_DIR", "")
    assert not at_hand(root)
    monkeypatch.setenv("CIFAR10_DIR", str(root))
    assert at_hand(root)
    monkeypatch.delenv("CIFAR10_DIR")

    facts = root / "data/raw"
    facts.mkdir(parents=True)
    for other in (digits.FACTS, SOURCE.facts._replace(classes=["airplane", "bee"])):  # someone's own pictures
        save_facts(other, facts)
        assert not at_hand(root)
    save_facts(SOURCE.facts, facts)
    assert at_hand(root)
    (facts / "dataset.json").unlink()

    (root / CACHE).mkdir(parents=True)
    (root / CACHE / f"{CIFAR10.filename}.part").touch()
    assert not at_hand(root)
    (root / CACHE / CIFAR10.filename).touch()
    assert at_hand(root)


def test_cifar10_is_at_hand_where_a_host_has_it(root, file_server, monkeypatch):
    monkeypatch.setenv("CIFAR10_URL", f"{file_server.address}/mirror.tar.gz")
    assert not at_hand(root)
    file_server.files["/mirror.tar.gz"] = b"archive"
    assert at_hand(root)


@pytest.mark.skipif(not REAL_CIFAR10, reason="CIFAR10_DIR is not set: the real CIFAR-10 is not read")
def test_the_real_cifar10_is_balanced_and_looks_as_published(root, monkeypatch):
    monkeypatch.setenv("CIFAR10_DIR", REAL_CIFAR10)
    raw = load(root)
    assert raw.train_images.shape == (50_000, 32, 32, 3) and raw.test_images.shape == (10_000, 32, 32, 3)
    assert (
        np.bincount(raw.train_labels).tolist() == [5000] * 10 and np.bincount(raw.test_labels).tolist() == [1000] * 10
    )
    assert raw.facts == ("CIFAR-10", CLASSES, True)
    mean = raw.train_images.mean((0, 1, 2)) / 255
    np.testing.assert_allclose(mean, [0.4914, 0.4822, 0.4465], atol=1e-4)  # the mean quoted everywhere
