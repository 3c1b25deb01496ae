"""A project to measure in, and measurements that start no process."""

from pathlib import Path

import pytest

from lab.benchmarks.measuring import matrix_product
from lab.benchmarks.programs.plan import Plan
from tests.test_dvc_yaml import ROOT


@pytest.fixture
def quick() -> Plan:
    return Plan((32,), quick=True)


@pytest.fixture
def project(tmp_path) -> Path:
    """A folder with what the programs read of the project, to which they may write."""
    for name in ("params.yaml", "weights"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


@pytest.fixture
def here(monkeypatch):
    """A stand-in for `apart` that calls the function in this process; matrix products are small."""
    monkeypatch.setattr(matrix_product, "MATRIX_SIDE", {"cpu": 64, "cuda": 64})
    return lambda function, *args: function(*args)
