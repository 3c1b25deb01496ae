import numpy as np
import pytest

from lab.benchmarks.measuring.table import Table
from lab.benchmarks.programs import serving
from lab.benchmarks.reporting.page import write_results
from study.networks.classifier import save_classifier
from study.publishing.onnx_graph import to_onnx


@pytest.mark.slow
def test_serving_measures_torch_onnxruntime_and_eight_bits(project, quick, here, monkeypatch, model, images):
    monkeypatch.setattr(serving, "apart", here)
    for folder in ("models", "data/subset"):
        (project / folder).mkdir(parents=True)
    labels = np.arange(len(images)) % 3
    for split in ("train", "test"):
        np.savez(project / f"data/subset/{split}.npz", images=images, labels=labels)
    save_classifier(model, project / "models/full.safetensors")
    graph = to_onnx(model, 1.5, (32, 32), {"variant": "full", "temperature": "1.5"})
    (project / "models/model.onnx").write_bytes(graph)
    folder = project / "results"
    serving.run(project, folder, quick)
    speed, quality = (Table(folder / f"{name}.csv").rows for name in ("serving", "serving_quality"))
    assert len(speed) == 4 * len(serving.BATCHES)
    torchs, exported, *eight_bits = quality.itertuples()
    assert torchs.accuracy == exported.accuracy
    assert len(eight_bits) == 2
    assert all(row.megabytes < exported.megabytes / 3 for row in eight_bits)
    write_results(folder)
    assert "torch, eager" in (folder / "RESULTS.md").read_text()
