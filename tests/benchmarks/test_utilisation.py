from benchmarks import utilisation
from benchmarks.results import write_results
from benchmarks.table import Table


def test_utilisation_is_a_share_of_the_product_s_rate(project, quick, here, monkeypatch):
    monkeypatch.setattr(utilisation, "apart", here)
    folder = project / "results"
    utilisation.run(project, folder, quick)
    (row,) = Table(folder / "utilisation.csv").rows
    assert float(row["train_images_per_second"]) > 0 and float(row["executed_gflop"]) > float(row["forward_gflop"])
    shares = [float(row["share"]) for row in Table(folder / "profile.csv").rows]
    assert abs(sum(shares) - 1) < 0.01
    write_results(folder)
    assert "Where a training step's time goes" in (folder / "RESULTS.md").read_text()
