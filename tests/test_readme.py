"""README against what was measured: its table is the one that metrics/ gives."""

import csv
import json
import re
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from statistics import fmean

import pytest

from stages.common.results_table import results_table

ROOT = Path(__file__).parents[1]


def read(name):
    return json.loads((ROOT / "metrics" / name).read_text())


def test_the_results_table_is_the_one_that_the_metrics_give():
    assert results_table(read("summary.json"), read("training.json")) in (ROOT / "README.md").read_text()


def means(study):
    """How README writes the means over the seeds of every setting and variant of a study: percent and plain."""
    key = itemgetter("setting", "variant")
    with (ROOT / f"ablation/{study}.csv").open() as file:
        rows = sorted(csv.DictReader(file), key=key)
    for _, group in groupby(rows, key):
        for values in zip(*([float(value) for value in list(row.values())[4:]] for row in group), strict=True):
            yield f"{100 * fmean(values):.1f}"
            yield f"{fmean(values):.3f}"


@pytest.mark.parametrize("study", ["augmentation", "data_size", "systems"])
def test_every_decimal_that_is_said_of_a_study_is_in_its_table(study):
    said = (ROOT / "README.md").read_text().split(f"<!-- {study} -->")[1].split(f"<!-- /{study} -->")[0]
    decimals = set(re.findall(r"\d+\.\d+", said))
    assert decimals
    assert decimals - set(means(study)) == set()


def test_every_decimal_that_is_said_of_speed_is_in_the_benchmarks_table():
    said = (ROOT / "README.md").read_text().split("<!-- speed -->")[1].split("<!-- /speed -->")[0]
    decimals = set(re.findall(r"\d+\.\d+x?", said))
    assert decimals
    assert decimals - set(re.findall(r"\d+\.\d+x?", (ROOT / "benchmarks/RESULTS.md").read_text())) == set()


def test_both_pages_have_the_same_command_for_ones_own_pictures():
    pages = ((ROOT / name).read_text() for name in ("README.md", "pictures/README.md"))
    commands = [re.search(r"dvc exp run (-S data\.dataset=folder .*?)[`\n]", page).group(1) for page in pages]
    settings = [{setting for setting in command.split() if "=" in setting} for command in commands]
    assert settings[0] - {"data.path=DIR"} == settings[1]


def test_every_file_that_the_tree_names_exists():
    text = (ROOT / "README.md").read_text()
    tree = text.split("<!-- tree -->")[1]
    names = [line.split()[0] for line in tree.splitlines() if line.startswith(("stages/", "tests/", "backbone/"))]
    assert names
    for name in names:
        assert (ROOT / name).exists(), name
