import pytest

from lab.benchmarks.measuring.table import Table
from study.pipeline.params import Refusal


def test_a_second_start_finds_what_the_first_one_measured(tmp_path):
    first = Table(tmp_path / "table.csv")
    first.add({"machine": "a, b", "run": 0, "seconds": 1.5, "ece": None})
    second = Table(tmp_path / "table.csv")
    assert second.has(machine="a, b", run=0)
    assert not second.has(machine="a, b", run=1)
    assert not second.has(machine="c", run=0)
    second.add({"machine": "a, b", "run": 1, "seconds": 2.5, "ece": 0.25})
    assert list(Table(tmp_path / "table.csv").rows["seconds"]) == [1.5, 2.5]
    assert (tmp_path / "table.csv").read_text().splitlines()[0] == "machine,run,seconds,ece"


def test_removed_measurements_are_made_again_and_the_others_stay(tmp_path):
    table = Table(tmp_path / "table.csv")
    for machine in ("a", "b"):
        table.add({"machine": machine, "seconds": 1.25})
    table.remove(machine="c")
    table.remove(machine="a")
    assert not table.has(machine="a") and table.has(machine="b")
    assert (tmp_path / "table.csv").read_text() == "machine,seconds\nb,1.25\n"
    table.remove(machine="b")
    assert not (tmp_path / "table.csv").exists()
    table.add({"machine": "a", "seconds": 2.5})
    assert Table(tmp_path / "table.csv").has(machine="a")


def test_rows_with_other_columns_are_not_mixed(tmp_path):
    table = Table(tmp_path / "table.csv")
    table.add({"run": 0, "seconds": 1.5})
    with pytest.raises(Refusal, match=r"table\.csv has other columns"):
        table.add({"run": 1, "minutes": 1.5})
