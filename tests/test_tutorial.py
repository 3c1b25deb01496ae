"""docs/tutorial.ipynb, run from top to bottom as by a newcomer who has no CIFAR-10."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_pipeline import call, copy_tracked, small_params, stages_run

ROOT = Path(__file__).parents[1]
NOTEBOOK = "docs/tutorial.ipynb"


def code(notebook):
    return [cell for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def printed(cell):
    return "".join("".join(output.get("text", "")) for output in cell["outputs"])


def test_the_committed_notebook_was_run_from_top_to_bottom_without_a_fault():
    cells = code(ROOT / NOTEBOOK)
    assert [cell["execution_count"] for cell in cells] == [number + 1 for number in range(len(cells))]
    assert not [output for cell in cells for output in cell["outputs"] if output["output_type"] == "error"]


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """What each of its cells prints in a fresh repository."""
    base = tmp_path_factory.mktemp("tutorial")
    folder = base / "project"
    copy_tracked(folder)
    (folder / "params.yaml").write_text(small_params(folder / "params.yaml"))  # five corruptions in place of nineteen
    call(folder, "git", "add", "--all")
    call(folder, "git", "commit", "--quiet", "--message", "Start")
    environment = os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9"),  # CIFAR-10 is out of reach
        "JUPYTER_RUNTIME_DIR": str(base / "jupyter"),
        "IPYTHONDIR": str(base / "ipython"),
    }
    environment.pop("CIFAR10_DIR", None)
    command = ["jupyter-execute", "--inplace", NOTEBOOK]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return [printed(cell) for cell in code(folder / NOTEBOOK)]


@pytest.mark.slow
def test_it_takes_the_digits_where_cifar10_is_out_of_reach(executed):
    assert "Dataset: scikit-learn's handwritten digits" in executed[1]


@pytest.mark.slow
def test_it_runs_every_stage_and_says_how_to_open_the_page(executed):
    names = set(call(ROOT, "dvc", "stage", "list", "--name-only").split())
    assert stages_run(executed[1]) == names
    assert "Open runs/quickstart/report.html" in executed[1]


@pytest.mark.slow
def test_the_calibration_error_that_it_computes_is_that_of_the_metrics(executed):
    assert any("ECE of full after scaling" in output for output in executed)  # its cell asserts that they are equal


@pytest.mark.slow
def test_the_model_that_it_leaves_classifies_pictures(executed):
    assert any("samples/cat.png" in output and "95 % set" in output for output in executed)


@pytest.mark.slow
def test_another_published_variant_trains_nothing(executed):
    (changed,) = (output for output in executed if "Running stage 'gradcam'" in output and output != executed[1])
    # DVC's progress bar may stand before the first line, check_params, which the cell's grep then passes over
    assert stages_run(changed) | {"check_params"} == {"check_params", "gradcam", "export", "report"}
