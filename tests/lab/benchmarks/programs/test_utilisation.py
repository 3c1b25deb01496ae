import pytest

from lab.benchmarks.measuring.table import Table
from lab.benchmarks.programs import utilisation
from lab.benchmarks.reporting.page import write_results


@pytest.mark.slow
def test_utilisation_is_a_share_of_the_product_s_rate(project, quick, here, monkeypatch):
    monkeypatch.setattr(utilisation, "apart", here)
    folder = project / "results"
    utilisation.run(project, folder, quick)
    (row,) = Table(folder / "utilisation.csv").rows.itertuples()
    assert row.train_images_per_second > 0 and row.executed_gflop > row.forward_gflop
    assert abs(Table(folder / "profile.csv").rows["share"].sum() - 1) < 0.01
    write_results(folder)
    assert "Where a training step's time goes" in (folder / "RESULTS.md").read_text()
