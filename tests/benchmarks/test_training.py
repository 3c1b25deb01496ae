from importlib.util import find_spec

import pytest

from benchmarks import training
from benchmarks.table import Table


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
    assert [(row["depth"], row["contender"]) for row in rows] == [
        ("features", "ours"),
        ("fc", "ours"),
        ("fc", contender),
    ]
    assert all(0 <= float(row["test_accuracy"]) <= 1 and row["curve"] for row in rows[1:])
    training.run(project, folder, quick, depths=("fc",))
    assert Table(folder / "training.csv").rows == rows
    assert not list((project / ".cache/benchmarks").iterdir())
