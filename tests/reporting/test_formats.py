import numpy as np
import pandas as pd

from study.reporting.formats import leaves, records


def test_leaves_of_nothing_are_nothing():
    assert leaves({}) == {}


def test_records_hold_python_s_own_numbers_and_none_where_a_value_is_missing():
    rows = records(pd.DataFrame({"count": [1, 2], "share": [0.5, np.nan], "class": ["9", "ant"]}))
    assert rows == [{"count": 1, "share": 0.5, "class": "9"}, {"count": 2, "share": None, "class": "ant"}]
    assert [type(value) for value in rows[0].values()] == [int, float, str]


def test_records_of_an_empty_table_are_none():
    assert records(pd.DataFrame({"count": []})) == []
