import pytest

from stages.common.folders import whole_folder


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_whole_folder_appears_when_the_block_ends(tmp_path):
    with whole_folder(tmp_path / "data/raw") as folder:
        (folder / "a").write_text("new")
        assert not (tmp_path / "data/raw").exists()
    assert (tmp_path / "data/raw/a").read_text() == "new"
    assert _names(tmp_path / "data") == ["raw"]


def test_whole_folder_replaces_the_old_one_and_its_files(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/old").touch()
    with whole_folder(tmp_path / "raw") as folder:
        (folder / "new").touch()
    assert _names(tmp_path / "raw") == ["new"]


def test_whole_folder_leaves_the_old_one_when_the_block_fails(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/old").touch()
    with pytest.raises(OSError, match="disk full"), whole_folder(tmp_path / "raw") as folder:
        (folder / "half").touch()
        raise OSError("disk full")
    assert _names(tmp_path) == ["raw"]
    assert _names(tmp_path / "raw") == ["old"]


def test_whole_folder_removes_what_a_killed_process_left_of_an_earlier_one(tmp_path):
    (tmp_path / ".raw-k1ll3d/raw").mkdir(parents=True)
    (tmp_path / ".rawest-other").mkdir()
    with whole_folder(tmp_path / "raw"):
        pass
    assert _names(tmp_path) == [".rawest-other", "raw"]
