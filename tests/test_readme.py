"""README against what was measured: its table is the one that metrics/ gives."""

import json
from pathlib import Path

from stages.common.results_table import results_table

ROOT = Path(__file__).parents[1]


def read(name):
    return json.loads((ROOT / "metrics" / name).read_text())


def test_the_results_table_is_the_one_that_the_metrics_give():
    assert results_table(read("summary.json"), read("training.json")) in (ROOT / "README.md").read_text()


def test_every_file_that_the_tree_names_exists():
    text = (ROOT / "README.md").read_text()
    tree = text.split("<!-- tree -->")[1]
    names = [line.split()[0] for line in tree.splitlines() if line.startswith(("stages/", "tests/", "backbone/"))]
    assert names
    for name in names:
        assert (ROOT / name).exists(), name
