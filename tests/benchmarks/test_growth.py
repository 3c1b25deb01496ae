from benchmarks import growth
from benchmarks.memory import STATUS
from benchmarks.results import write_results
from benchmarks.table import Table


def test_growth_has_a_row_for_every_part_of_every_point_and_a_figure(project, quick, here, monkeypatch):
    monkeypatch.setattr(growth, "apart", here)
    monkeypatch.setattr(growth, "QUICK", ((60, 32), (120, 32), (60, 64)))
    folder = project / "results"
    growth.run(project, folder, quick)
    rows = Table(folder / "growth.csv").rows
    assert len(rows) == 3 * len(growth.PARTS)
    assert all(float(row["seconds"]) > 0 and (not STATUS.exists() or float(row["own_mb"]) > 0) for row in rows)
    write_results(folder)
    assert (folder / "growth-1.png").stat().st_size
    assert "120 images, 32 px" in (folder / "RESULTS.md").read_text()


def test_images_grow_at_one_size_and_sizes_at_one_number_of_images():
    points = growth.points(quick=False)
    assert len(points) == len(set(points)) == len(growth.IMAGES) + len(growth.SIDES) - 1
