import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.repo import Repo

from lab.experiments.environment import CACHE, CIFAR10, experiment_environment, require_ascii
from study.pipeline.params import Refusal
from tests.lab.experiments.toy_project import call, make_project


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


@pytest.fixture
def folder(tmp_path):
    """A repository of git and DVC, with nothing in it."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    Repo.init(tmp_path).close()
    return tmp_path


@pytest.mark.slow
def test_where_dvc_s_cache_has_another_path_than_ascii_it_fails_and_with_another_cache_it_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    project, run = tmp_path / "café", ("dvc", "exp", "run", "--temp", "features")
    make_project(project)
    with pytest.raises(subprocess.CalledProcessError) as failed:  # else there is nothing to refuse
        call(project, *run)
    assert "'ascii' codec can't encode" in failed.value.stderr
    with pytest.raises(Refusal):
        require_ascii(project)
    call(project, "dvc", "cache", "dir", "--local", str(tmp_path / "cache"))
    require_ascii(project)
    call(project, *run)


def test_a_cache_at_another_path_than_ascii_is_refused_with_the_way_out(folder):
    require_ascii(folder)
    accented = folder.rename(folder.with_name("café"))
    line = (
        rf"^DVC keeps its cache in {accented}/\.dvc/cache, .*: move the project, or .*`dvc cache dir --local FOLDER`$"
    )
    with pytest.raises(Refusal, match=line):
        require_ascii(accented)


def test_settings_of_git_that_dvc_cannot_copy_are_refused(folder):
    subprocess.run(["git", "config", "user.name", "Zoë"], cwd=folder, check=True)
    with pytest.raises(Refusal, match=rf"^DVC runs experiments only where {folder}/\.git/config is plain ASCII: .*$"):
        require_ascii(folder)


def test_a_folder_without_git_is_refused_with_the_way_to_get_the_project(folder):
    shutil.rmtree(folder / ".git")
    with pytest.raises(Refusal, match=r"^.* is not a git repository: get the project with `git clone`$"):
        require_ascii(folder)
