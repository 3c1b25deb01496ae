"""docs/tutorial.ipynb, run from top to bottom as by a newcomer who has no CIFAR-10."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_pipeline import call, copy_tracked, small_params

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


@pytest.mark.slow
def test_it_runs_on_the_digits_and_trains_nothing_for_another_variant(tmp_path):
    folder = tmp_path / "project"
    copy_tracked(folder)
    (folder / "params.yaml").write_text(small_params(folder / "params.yaml"))  # five corruptions in place of nineteen
    call(folder, "git", "add", "--all")
    call(folder, "git", "commit", "--quiet", "--message", "Start")
    environment = os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9"),  # CIFAR-10 is out of reach
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "jupyter"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    environment.pop("CIFAR10_DIR", None)
    command = ["jupyter-execute", "--inplace", NOTEBOOK]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    outputs = [printed(cell) for cell in code(folder / NOTEBOOK)]
    assert "Dataset: scikit-learn's handwritten digits" in outputs[1]
    assert "Running stage 'train_full'" in outputs[1] and "Open runs/quickstart/report.html" in outputs[1]
    assert any("ECE of full after scaling" in output for output in outputs)
    (changed,) = (output for output in outputs if "Running stage 'gradcam'" in output and output != outputs[1])
    assert "train" not in changed.split("Path")[0].replace("training", "")
