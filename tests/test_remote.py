"""What one clone pushes to a remote storage another clone pulls, and then has nothing to run."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

TRAIN = """\
import pathlib
features = pathlib.Path("features/train.txt").read_text()
pathlib.Path("model.txt").write_text(features.upper())
"""
DVC_YAML = """\
stages:
  features:
    cmd: mkdir -p features && cat photo.txt photo.txt > features/train.txt
    deps: [photo.txt]
    outs:
      - features:
          push: false
  train:
    cmd: python train.py
    deps: [train.py, features]
    outs: [model.txt]
"""
MODEL = "A CAT\nA CAT\n"
DIGEST = hashlib.md5(MODEL.encode()).hexdigest()
MODEL_IN_STORAGE = f"files/md5/{DIGEST[:2]}/{DIGEST[2:]}"
SIGNATURE = {"Authorization": "AWS4-HMAC-SHA256 Credential=testing/20260101/us-east-1/s3/aws4_request"}


@pytest.fixture
def folder(tmp_path):
    """A shared folder: its address for DVC, options for it, and how to overwrite a file in it."""

    def overwrite(name, content):
        path = tmp_path / "storage" / name
        path.unlink()
        path.write_bytes(content)
        path.chmod(0o444)  # as DVC leaves it

    return str(tmp_path / "storage"), {}, overwrite


@pytest.fixture
def s3(s3_server):
    """The same of a bucket on an S3-compatible server on this machine."""

    def overwrite(name, content):
        urlopen(Request(f"{s3_server}/bucket/study/{name}", content, SIGNATURE, method="PUT")).close()

    return "s3://bucket/study", {"endpointurl": s3_server}, overwrite


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def storage(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A tiny repository, reproduced and committed, with an output that is never pushed."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "true")
    project = tmp_path / "first"
    project.mkdir()
    (project / "photo.txt").write_text("a cat\n")
    (project / "train.py").write_text(TRAIN)
    (project / "dvc.yaml").write_text(DVC_YAML)
    call(project, "git", "init", "--quiet")
    call(project, "git", "config", "user.email", "test@example.org")
    call(project, "git", "config", "user.name", "Test")
    call(project, "dvc", "init", "--quiet")
    assert call(project, "dvc", "repro").count("Running stage") == 2
    return project


def call(folder, *command):
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_what_is_pushed_is_pulled_by_a_clone_that_then_runs_nothing_and_damage_is_never_taken_for_good(
    project, storage
):
    url, options, overwrite = storage
    call(project, "dvc", "remote", "add", "--default", "store", url)
    for name, value in (options | {"verify": "true"}).items():  # without verify DVC trusts what is read-only
        call(project, "dvc", "remote", "modify", "store", name, value)
    call(project, "git", "add", "--all")
    call(project, "git", "commit", "--quiet", "--message", "Reproduce")
    call(project, "dvc", "push", "--run-cache")

    clone = project.parent / "second"
    call(project.parent, "git", "clone", "--quiet", str(project), str(clone))
    call(clone, "dvc", "pull", "--run-cache", "--allow-missing")
    assert (clone / "model.txt").read_text() == MODEL
    assert "Running stage" not in call(clone, "dvc", "repro", "--allow-missing")
    assert not (clone / "features").exists()

    overwrite(MODEL_IN_STORAGE, MODEL.replace("CAT", "DOG").encode())
    other = project.parent / "third"
    call(project.parent, "git", "clone", "--quiet", str(project), str(other))
    call(other, "dvc", "pull", "--allow-missing")
    assert not (other / "model.txt").exists()
    assert call(other, "dvc", "repro").count("Running stage") == 2
    assert (other / "model.txt").read_text() == MODEL
