import pytest

from lab.benchmarks.measuring.memory import STATUS
from lab.benchmarks.measuring.table import Table
from lab.benchmarks.programs import growth
from lab.benchmarks.reporting.page import write_results


@pytest.mark.slow
def test_growth_has_a_row_for_every_part_of_every_point_and_a_figure(project, quick, here, monkeypatch):
    monkeypatch.setattr(growth, "apart", here)
    monkeypatch.setattr(growth, "QUICK", ((60, 32), (120, 32), (60, 64)))
    folder = project / "results"
    growth.run(project, folder, quick)
    rows = Table(folder / "growth.csv").rows
    assert len(rows) == 3 * len(growth.PARTS)
    assert (rows["seconds"] > 0).all()
    assert not STATUS.exists() or (rows["own_mb"] > 0).all()
    write_results(folder)
    assert (folder / "growth-1.png").stat().st_size
    assert "120 images, 32 px" in (folder / "RESULTS.md").read_text()


def test_images_grow_at_one_size_and_sizes_at_one_number_of_images():
    points = growth.points(quick=False)
    assert len(points) == len(set(points)) == len(growth.IMAGE_COUNTS) + len(growth.IMAGE_SIZES) - 1
