import shutil
from pathlib import Path

import pytest
import torch

from study.networks.classifier import Head
from study.pipeline.libraries import libraries
from study.training.checkpoints import CODE, Checkpoints
from tests.test_dvc_yaml import import_closure

ROOT = Path(__file__).parents[2]
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


@pytest.mark.parametrize("name", ["layer4", "full-bn"])
def test_another_variant_keeps_its_own(tmp_path, data, name):
    Checkpoints(tmp_path, name, [HEAD], [data]).save("head", STATE)
    assert Checkpoints(tmp_path, "full", [HEAD], [data]).load("head") is None
    Checkpoints(tmp_path, "full", [HEAD], [data]).remove()
    assert Checkpoints(tmp_path, name, [HEAD], [data]).load("head")


def test_other_settings_start_from_nothing(tmp_path, data):
    Checkpoints(tmp_path, "full", [HEAD], [data]).save("head", STATE)
    other = Head(hidden=[8], dropout=0.4)
    assert Checkpoints(tmp_path, "full", [other], [data]).load("head") is None
    assert len(list((tmp_path / ".cache/checkpoints/full").iterdir())) == 1


def test_another_number_of_threads_starts_from_nothing(tmp_path, data, monkeypatch):
    Checkpoints(tmp_path, "full", [HEAD], [data]).save("head", STATE)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1000)
    assert Checkpoints(tmp_path, "full", [HEAD], [data]).load("head") is None


def test_another_version_of_a_library_starts_from_nothing(tmp_path, data, monkeypatch):
    Checkpoints(tmp_path, "full", [HEAD], [data]).save("head", STATE)
    monkeypatch.setattr("study.training.checkpoints.libraries", lambda: libraries() | {"torchvision": "0.28.1"})
    assert Checkpoints(tmp_path, "full", [HEAD], [data]).load("head") is None


def test_other_data_start_from_nothing(tmp_path, data):
    Checkpoints(tmp_path, "full", [HEAD], [data]).save("head", STATE)
    data.write_bytes(b"others")
    assert Checkpoints(tmp_path, "full", [HEAD], [data]).load("head") is None


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A copy of the code, the key's in the place of the one that runs."""
    for name in ("study", "stages"):
        shutil.copytree(ROOT / name, tmp_path / "copy" / name, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr("study.training.checkpoints.STUDY", tmp_path / "copy/study")
    return tmp_path / "copy"


@pytest.mark.parametrize(
    "edited",
    ["training/loop.py", "networks/classifier.py", "light_resnet/network.py", "features/augment.py", "data/splits.py"],
)
def test_code_that_training_runs_starts_from_nothing_once_it_is_edited(tmp_path, data, code, edited):
    Checkpoints(tmp_path, "full", [HEAD], [data]).save("head", STATE)
    with (code / "study" / edited).open("a") as file:
        file.write("# edited\n")
    assert Checkpoints(tmp_path, "full", [HEAD], [data]).load("head") is None


def test_a_new_module_among_the_code_that_training_runs_starts_from_nothing(tmp_path, data, code):
    Checkpoints(tmp_path, "full", [HEAD], [data]).save("head", STATE)
    (code / "study/training/schedules.py").write_text("WARMUP = 0.3\n")
    assert Checkpoints(tmp_path, "full", [HEAD], [data]).load("head") is None


@pytest.mark.parametrize(
    "edited",
    [
        *("study/reporting/page.py", "study/corruption/noise.py", "study/evaluation/scores.py"),
        *("stages/report.py", "stages/train_full.py"),
    ],
)
def test_an_edit_elsewhere_during_a_training_throws_nothing_away(tmp_path, data, code, edited):
    Checkpoints(tmp_path, "full", [HEAD], [data]).save("head", STATE)
    with (code / edited).open("a") as file:
        file.write("# edited\n")
    assert Checkpoints(tmp_path, "full", [HEAD], [data]).load("head")


def test_an_editor_s_swap_file_and_its_lock_of_a_file_throw_nothing_away(tmp_path, data, code):
    Checkpoints(tmp_path, "full", [HEAD], [data]).save("head", STATE)
    (code / "study/training/.loop.py.swp").touch()
    (code / "study/training/.#loop.py").symlink_to("nowhere")  # Emacs's
    assert Checkpoints(tmp_path, "full", [HEAD], [data]).load("head")


def test_the_key_holds_exactly_the_packages_that_the_training_stages_import():
    modules = set().union(*(import_closure(stage) for stage in sorted(ROOT.glob("stages/train_*.py"))))
    assert {module.parts[1] for module in modules if module.parts[0] == "study"} == set(CODE)


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
