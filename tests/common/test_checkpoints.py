from pathlib import Path

import pytest
import torch

from stages.common.checkpoints import Checkpoints
from stages.common.model import Head

HEAD = Head(hidden=[8], dropout=0.5)
STATE = {"weight": torch.arange(3.0), "curve": [{"epoch": 1, "seconds": 0.5}]}


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "train.npz"
    path.write_bytes(b"pixels")
    return path


def test_what_was_saved_is_loaded_by_the_next_process(tmp_path, data):
    Checkpoints(tmp_path, "full", [HEAD], [data]).save("head", STATE)
    loaded = Checkpoints(tmp_path, "full", [HEAD], [data]).load("head")
    assert torch.equal(loaded["weight"], STATE["weight"])
    assert loaded["curve"] == STATE["curve"]


def test_a_phase_that_has_not_begun_has_no_state(tmp_path, data):
    assert Checkpoints(tmp_path, "full", [HEAD], [data]).load("head") is None


def test_another_variant_keeps_its_own(tmp_path, data):
    Checkpoints(tmp_path, "full", [HEAD], [data]).save("head", STATE)
    assert Checkpoints(tmp_path, "layer4", [HEAD], [data]).load("head") is None
    assert Checkpoints(tmp_path, "full", [HEAD], [data]).load("head")


def test_other_settings_start_from_nothing(tmp_path, data):
    Checkpoints(tmp_path, "full", [HEAD], [data]).save("head", STATE)
    other = Head(hidden=[8], dropout=0.4)
    assert Checkpoints(tmp_path, "full", [other], [data]).load("head") is None
    assert len(list((tmp_path / ".cache/checkpoints").iterdir())) == 1


def test_other_data_start_from_nothing(tmp_path, data):
    Checkpoints(tmp_path, "full", [HEAD], [data]).save("head", STATE)
    data.write_bytes(b"others")
    assert Checkpoints(tmp_path, "full", [HEAD], [data]).load("head") is None


def test_other_code_starts_from_nothing(tmp_path, data, monkeypatch):
    code = tmp_path / "stages"
    code.mkdir()
    monkeypatch.setattr("stages.common.checkpoints.CODE", code)
    Checkpoints(tmp_path, "full", [HEAD], [data]).save("head", STATE)
    (code / "augment.py").write_text("PAD = 8")
    assert Checkpoints(tmp_path, "full", [HEAD], [data]).load("head") is None


def test_a_save_that_breaks_off_leaves_the_last_state(tmp_path, data, monkeypatch):
    checkpoints = Checkpoints(tmp_path, "full", [HEAD], [data])
    checkpoints.save("head", STATE)

    def full_disk(path, content):
        with path.open("wb") as file:
            file.write(content[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="No space"):
        checkpoints.save("head", {})
    assert torch.equal(checkpoints.load("head")["weight"], STATE["weight"])


def test_nothing_is_left_after_the_training(tmp_path, data):
    checkpoints = Checkpoints(tmp_path, "full", [HEAD], [data])
    checkpoints.save("head", STATE)
    checkpoints.remove()
    assert list((tmp_path / ".cache/checkpoints").iterdir()) == []
