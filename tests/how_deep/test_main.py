import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from how_deep import __main__ as how_deep

ROOT = Path(__file__).parents[2]
MOST = 24  # entries of the root that are not hidden


def call(*arguments, cwd=ROOT, modules="how_deep"):
    command = [sys.executable, "-m", modules, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def test_the_command_without_arguments_lists_what_there_is():
    for arguments in ([], ["--help"]):
        done = call(*arguments)
        assert done.returncode == 0 and done.stderr == ""
        for name, (_, does) in how_deep.COMMANDS.items():
            assert f"  {name} " in done.stdout and does in done.stdout


def test_pyproject_installs_it_as_how_deep():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"how-deep": "how_deep.__main__:main"}


@pytest.mark.parametrize("name", ["app", "track", "hub", "experiments", "bench", "faults"])
def test_help_of_a_command_needs_no_optional_package(name):
    code = f"""
import importlib.abc, sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("gradio", "mlflow", "wandb", "ray", "fastai", "lightning", "timm"):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
sys.argv = ["how-deep", "{name}", "--help"]
from how_deep.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: how-deep {name}")


def test_an_unknown_command_gets_one_line():
    done = call("advice")
    assert done.returncode == 1
    assert done.stderr == f"how-deep: there is no command 'advice': choose {', '.join(how_deep.COMMANDS)}\n"


def test_elsewhere_it_says_where_to_go(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["how-deep", "plots"])
    with pytest.raises(SystemExit, match="change to the project's folder first: cd"):
        how_deep.main()
    monkeypatch.setattr(how_deep, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match=r"holds no dvc\.yaml: .* `pip install --editable \.`"):
        how_deep.main()


def test_the_root_can_be_overlooked():
    listed = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
    entries = {name.split("/")[0] for name in listed}
    assert len([name for name in entries if not name.startswith(".")]) <= MOST


@pytest.mark.slow
def test_a_wheel_builds_and_holds_the_modules_with_their_files(tmp_path):
    if find_spec("setuptools") is None:
        pytest.skip("needs setuptools, which pip gets for each build by itself")
    command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path]
    copy = tmp_path / "copy"
    subprocess.run(["git", "clone", "--quiet", ROOT, copy], check=True)
    subprocess.run(command, cwd=copy, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("how_deep-*.whl")
    listed = subprocess.check_output([sys.executable, "-m", "zipfile", "-l", wheel], text=True)
    for path in (
        "how_deep/__main__.py",
        "study/reporting/templates/report.css",
        "study/label_errors/cifar10.csv",
        "lab/experiments/studies.py",
        "stages/report.py",
        "inference.py",
    ):
        assert path in listed
