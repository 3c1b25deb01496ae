import json
from fnmatch import fnmatch
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from study.pipeline.files import read_json, read_table, whole_folder, write_json, write_table, write_text

NUMBERS = ["1", "01", "1e3", "-inf", "nan", "2026-01-01"]
ODD_NAMES = [*NUMBERS, "NA", "None", "null", "True", " ", "a, b", 'a "b"', "é\n", "猫"]


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_whole_folder_appears_when_the_block_ends(tmp_path):
    with whole_folder(tmp_path / "data/raw") as folder:
        (folder / "a").write_text("new")
        assert not (tmp_path / "data/raw").exists()
    assert (tmp_path / "data/raw/a").read_text() == "new"
    assert _names(tmp_path / "data") == ["raw"]


def test_whole_folder_replaces_the_old_one_and_its_files(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/old").touch()
    with whole_folder(tmp_path / "raw") as folder:
        (folder / "new").touch()
    assert _names(tmp_path / "raw") == ["new"]


def test_whole_folder_leaves_the_old_one_when_the_block_fails(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/old").touch()
    with pytest.raises(OSError, match="disk full"), whole_folder(tmp_path / "raw") as folder:
        (folder / "half").touch()
        raise OSError("disk full")
    assert _names(tmp_path) == ["raw"]
    assert _names(tmp_path / "raw") == ["old"]


def test_whole_folder_removes_what_a_killed_process_left_of_an_earlier_one(tmp_path):
    killed = whole_folder(tmp_path / "raw")
    left = killed.__enter__().parent
    assert left.parent == tmp_path and left.is_dir()
    with whole_folder(tmp_path / "raw"):
        pass
    assert _names(tmp_path) == ["raw"]


@pytest.mark.parametrize("name", [".raw-notes", ".raw.part-mine", ".raw", ".rawest.part-other", "raw.part-1"])
def test_a_folder_of_somebody_else_is_left_alone_whatever_its_name(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "notes.txt").write_text("mine")
    with whole_folder(tmp_path / "raw"):
        pass
    assert (tmp_path / name / "notes.txt").read_text() == "mine"


def test_what_is_being_written_is_not_part_of_a_folder_that_dvc_hashes(tmp_path):
    patterns = (Path(__file__).parents[2] / ".dvcignore").read_text().splitlines()
    with whole_folder(tmp_path / "raw") as folder:
        assert any(fnmatch(folder.parent.name + "/", pattern) for pattern in patterns if pattern.startswith(".*"))


def test_lines_end_alike_on_every_system(tmp_path):
    write_text(tmp_path / "card.md", "a\nb\n")
    write_json(tmp_path / "metrics.json", {"a": 1})
    assert (tmp_path / "card.md").read_bytes() == b"a\nb\n"
    assert (tmp_path / "metrics.json").read_bytes() == b'{\n  "a": 1\n}\n'


def test_json_is_read_as_it_was_written_and_reads_well_in_a_diff(tmp_path):
    path = tmp_path / "new/metrics.json"
    content = {"accuracy": 0.1 + 0.2, "count": 3, "null": None, "class": "猫", "rows": [1, 2]}
    write_json(path, content)
    assert read_json(path) == content
    assert path.read_text(encoding="utf-8") == json.dumps(content, indent=2) + "\n"


def test_a_table_has_a_header_a_line_per_row_and_empty_cells_for_what_is_missing(tmp_path):
    path = tmp_path / "new/table.csv"
    write_table(path, pd.DataFrame([{"name": "a, b", "value": 0.1}, {"name": "c", "value": None}]))
    assert path.read_bytes() == b'name,value\n"a, b",0.1\nc,\n'


def test_an_empty_cell_is_read_as_missing(tmp_path):
    write_table(tmp_path / "table.csv", pd.DataFrame({"attack": ["clean", "fgsm"], "zero_gradients": [None, 0.5]}))
    table = read_table(tmp_path / "table.csv")
    assert table["zero_gradients"].isna().tolist() == [True, False]
    assert table["zero_gradients"].dtype == np.float64


@pytest.mark.parametrize("column", ["class", "actual", "predicted", "true"])
def test_a_class_name_survives_whatever_it_looks_like(tmp_path, column):
    write_table(tmp_path / "table.csv", pd.DataFrame({column: ODD_NAMES, "count": range(len(ODD_NAMES))}))
    table = read_table(tmp_path / "table.csv")
    assert table[column].tolist() == ODD_NAMES
    assert table["count"].tolist() == list(range(len(ODD_NAMES)))


def test_classes_that_all_look_like_numbers_stay_text(tmp_path):
    write_table(tmp_path / "table.csv", pd.DataFrame({"class": ["1", "2"]}))
    assert read_table(tmp_path / "table.csv")["class"].tolist() == ["1", "2"]


def test_floats_keep_every_digit(tmp_path):
    rng = np.random.default_rng(0)
    values = [0.1 + 0.2, 1 / 3, 5e-324, 1.7976931348623157e308, *rng.random(1000), *rng.standard_normal(1000) * 1e-9]
    write_table(tmp_path / "table.csv", pd.DataFrame({"value": values}))
    assert read_table(tmp_path / "table.csv")["value"].tolist() == values


def test_whole_numbers_and_truth_values_keep_their_type(tmp_path):
    write_table(tmp_path / "table.csv", pd.DataFrame({"count": [1, 2], "passed": [True, False]}))
    assert read_table(tmp_path / "table.csv").dtypes.to_dict() == {"count": np.int64, "passed": np.bool_}


def test_a_table_of_no_rows_keeps_its_columns(tmp_path):
    write_table(tmp_path / "table.csv", pd.DataFrame({"true": [], "predicted": [], "count": []}))
    assert read_table(tmp_path / "table.csv").columns.tolist() == ["true", "predicted", "count"]


def test_a_table_is_read_from_text_in_memory_too():
    assert read_table(StringIO("class,f1\n1,0.5\n")).to_dict("records") == [{"class": "1", "f1": 0.5}]
