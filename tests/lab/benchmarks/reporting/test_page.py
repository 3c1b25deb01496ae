import pandas as pd

from lab.benchmarks.reporting.page import write_results
from study.pipeline.files import write_table
from tests.lab.benchmarks.reporting.test_tables import ROWS


def test_a_page_without_measurements_has_its_title_alone(tmp_path):
    write_results(tmp_path)
    (title,) = (line for line in (tmp_path / "RESULTS.md").read_text().splitlines() if line.startswith("#"))
    assert title == "# Benchmarks"


def test_a_section_has_a_table_and_a_picture_of_every_machine(tmp_path):
    machines = ["one", "another"]
    rows = pd.concat([ROWS.assign(machine=machine) for machine in machines])
    write_table(tmp_path / "training.csv", rows)
    write_results(tmp_path)
    section = (tmp_path / "RESULTS.md").read_text().split("## What holds")[0]
    for number, (machine, told) in enumerate(zip(machines, section.split("\n### ")[1:], strict=True), start=1):
        heading, *lines = told.splitlines()
        assert heading == machine
        assert f"](training-{number}.png)" in told
        assert (tmp_path / f"training-{number}.png").stat().st_size
        assert [line for line in lines if line.startswith("| 64 px | fc | PyTorch's tutorial | 70.00%")]
