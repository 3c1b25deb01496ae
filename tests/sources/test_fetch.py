import hashlib
from pathlib import Path

import pytest

from study.sources import fetch as module
from study.sources.fetch import delivers, fetch

CONTENT = bytes(range(256)) * 40  # 10,240 bytes
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0)


def test_fetch_downloads_the_file_and_leaves_nothing_else(file_server, tmp_path):
    file_server.files["/a"] = CONTENT
    fetch([f"{file_server.address}/a"], tmp_path / "new/a", MD5)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a"]
    assert (tmp_path / "new/a").read_bytes() == CONTENT


def test_fetch_goes_on_where_a_download_broke_off(file_server, tmp_path):
    file_server.files["/a"] = CONTENT
    file_server.cuts = [1000, 2000, 3000, 4000]
    fetch([f"{file_server.address}/a"], tmp_path / "a", MD5)
    assert file_server.ranges == [None, "bytes=1000-", "bytes=3000-", "bytes=6000-", "bytes=10000-"]
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_fetch_goes_on_with_what_an_earlier_run_left(file_server, tmp_path):
    file_server.files["/a"] = CONTENT
    (tmp_path / "a.part").write_bytes(CONTENT[:4096])
    fetch([f"{file_server.address}/a"], tmp_path / "a", MD5)
    assert file_server.ranges == ["bytes=4096-"]
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_fetch_takes_a_whole_part_that_was_never_renamed(file_server, tmp_path):
    file_server.files["/a"] = CONTENT
    (tmp_path / "a.part").write_bytes(CONTENT)
    fetch([f"{file_server.address}/a"], tmp_path / "a", MD5)
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_fetch_starts_afresh_when_the_part_was_of_another_file(file_server, tmp_path):
    file_server.files["/a"] = CONTENT
    (tmp_path / "a.part").write_bytes(b"<html>please sign in</html>")
    fetch([f"{file_server.address}/a"], tmp_path / "a", MD5)
    assert file_server.ranges == ["bytes=27-", None]
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_fetch_tries_the_next_address_and_verifies_what_it_gets(file_server, dead_address, tmp_path):
    file_server.files |= {"/wrong": CONTENT[:-1] + b"?", "/right": CONTENT}
    urls = [f"{dead_address}/a", f"{file_server.address}/wrong", f"{file_server.address}/right"]
    fetch(urls, tmp_path / "a", MD5)
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_fetch_says_what_went_wrong_at_each_address_and_leaves_no_file(file_server, dead_address, tmp_path):
    file_server.files["/wrong"] = b"wrong"
    urls = [f"{dead_address}/a", f"{file_server.address}/missing", f"{file_server.address}/wrong", "nonsense"]
    with pytest.raises(ConnectionError) as fault:
        fetch(urls, tmp_path / "a", MD5)
    assert str(fault.value) == (
        f"127.0.0.1: ConnectionError; 127.0.0.1: HTTPError; 127.0.0.1: not the file with md5 {MD5}; "
        "nonsense: MissingSchema"
    )
    assert list(tmp_path.iterdir()) == []


def test_fetch_gives_up_on_a_host_that_never_answers(file_server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.1)
    file_server.silent = True
    with pytest.raises(ConnectionError, match="ReadTimeout"):
        fetch([f"{file_server.address}/a"], tmp_path / "a", MD5)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_fetch_lets_a_full_disk_through(file_server, tmp_path):
    file_server.files["/a"] = CONTENT
    (tmp_path / "a.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        fetch([f"{file_server.address}/a"], tmp_path / "a", MD5)


def test_delivers_is_true_of_a_host_that_sends_the_file_in_time(file_server, dead_address):
    file_server.files["/a"] = CONTENT
    assert delivers(f"{file_server.address}/a", 1_000, 600)
    assert delivers(f"{file_server.address}/a", 1_000_000, 600)
    assert not delivers(f"{file_server.address}/b", 1_000, 600)
    assert not delivers(f"{dead_address}/a", 1_000, 600)
    file_server.silent = True
    assert not delivers(f"{file_server.address}/a", 1_000, 0.2)
