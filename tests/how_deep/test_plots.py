"""how-deep plots: DVC's own diagrams in a page that loads nothing."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_of_plots_holds_its_scripts_and_loads_none(tmp_path):
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], cwd=tmp_path, check=True)
    (tmp_path / "curve.csv").write_text("epoch,loss\n1,2\n2,1\n")
    (tmp_path / "dvc.yaml").write_text("plots:\n  - curve.csv:\n      x: epoch\n      y: loss\n")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "how_deep.plots"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    page = (tmp_path / "dvc_plots/index.html").read_text()
    assert "window.vegaEmbed=" in page
    assert '"loss"' in page
    assert "<script src" not in page
    assert "cdn.jsdelivr" not in page.split("window.vegaEmbed=")[1]
