from importlib.util import find_spec

import pandas as pd
import pytest

from lab.benchmarks.measuring.table import Table
from lab.benchmarks.programs import training


@pytest.mark.slow
@pytest.mark.parametrize(
    "contender",
    [
        pytest.param(name, marks=pytest.mark.skipif(not find_spec(library), reason=f"without {library}"))
        for name, library in training.CONTENDERS.items()
    ],
)
def test_training_is_measured_once_for_each_contender(project, quick, monkeypatch, contender):
    monkeypatch.setattr(training, "CONTENDERS", {contender: "torch"})
    folder = project / "results"
    training.run(project, folder, quick, depths=("fc",))
    rows = Table(folder / "training.csv").rows
    assert list(zip(rows["depth"], rows["contender"], strict=True)) == [
        ("features", "ours"),
        ("fc", "ours"),
        ("fc", contender),
    ]
    assert rows["test_accuracy"][1:].between(0, 1).all() and rows["curve"][1:].notna().all()
    training.run(project, folder, quick, depths=("fc",))
    pd.testing.assert_frame_equal(Table(folder / "training.csv").rows, rows)
    assert not list((project / ".cache/benchmarks").iterdir())
