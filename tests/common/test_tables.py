from stages.common.tables import write_table


def test_a_table_has_a_header_a_line_per_row_and_empty_cells_for_none(tmp_path):
    path = tmp_path / "new/table.csv"
    write_table(path, [{"name": "a, b", "value": 0.1}, {"name": "c", "value": None}])
    assert path.read_bytes() == b'name,value\n"a, b",0.1\nc,\n'
