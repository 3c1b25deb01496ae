import sys
from pathlib import Path

import pytest

from experiments.environment import CACHE, CIFAR10, experiment_environment


def test_this_python_comes_first_and_cifar10_dir_holds_in_another_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CIFAR10_DIR", "data")
    environment = experiment_environment(tmp_path)
    assert environment["PATH"].startswith(str(Path(sys.executable).parent))
    assert environment["CIFAR10_DIR"] == str(tmp_path / "data")


@pytest.mark.parametrize("given", [None, ""])
def test_an_earlier_download_is_found_from_another_folder(monkeypatch, tmp_path, given):
    monkeypatch.delenv("CIFAR10_DIR", raising=False)
    if given is not None:
        monkeypatch.setenv("CIFAR10_DIR", given)
    assert not experiment_environment(tmp_path).get("CIFAR10_DIR")
    cache = tmp_path / CACHE
    cache.mkdir(parents=True)
    (cache / CIFAR10.filename).touch()
    assert experiment_environment(tmp_path)["CIFAR10_DIR"] == str(cache)
