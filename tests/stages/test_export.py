import json
from base64 import b64encode
from hashlib import sha256

import numpy as np
import onnxruntime
import pytest
import torch

from stages.export import run
from study.evaluation.temperature import save_temperature, tempered_softmax
from study.networks.classifier import save_classifier
from study.pipeline.files import write_json

PARAMS = {"freeze": "layer4", "mirror": True}
SCORES = np.linspace(0.1, 0.9, 7)


@pytest.fixture
def root(tmp_path, images, model):
    save_classifier(model, tmp_path / "models/layer4.safetensors")
    (tmp_path / "data/subset").mkdir(parents=True)
    np.savez(
        tmp_path / "data/subset/test.npz", images=images, labels=np.zeros(40, dtype=np.int64), indices=np.arange(40)
    )
    save_temperature(tmp_path, "layer4", 1.25)
    (tmp_path / "results/conformal/layer4").mkdir(parents=True)
    np.save(tmp_path / "results/conformal/layer4/scores.npy", SCORES)
    write_json(tmp_path / "results/ood/layer4/thresholds.json", {"energy": {"threshold": 2.5, "below": 0.05}})
    return tmp_path


@pytest.mark.parametrize("mirror", [False, True])
def test_the_published_variant_is_exported_with_its_temperature(root, model, images, mirror):
    run(PARAMS | {"mirror": mirror}, root)
    session = onnxruntime.InferenceSession(root / "models/model.onnx", providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map == {
        "classes": '["plane", "bird", "cat"]',
        "image_size": "32",
        "mirror": "true" if mirror else "false",
        "temperature": "1.25",
        "set_scores": b64encode(SCORES.astype("<f8").tobytes()).decode(),
        "least_energy": "2.5",
        "variant": "layer4",
        "checkpoint_sha256": sha256((root / "models/layer4.safetensors").read_bytes()).hexdigest(),
    }
    (probabilities,) = session.run(["probabilities"], {"images": images})
    model.mirror = mirror
    with torch.inference_mode():
        logits = model(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(probabilities, tempered_softmax(logits, 1.25), atol=1e-5)

    figures = json.loads((root / "results/export.json").read_text())
    assert figures["variant"] == "layer4"
    assert figures["images"] == 40
    assert figures["agreement"] == 1
    assert figures["file_bytes"] == (root / "models/model.onnx").stat().st_size
    assert sorted(path.name for path in (root / "models").iterdir()) == ["layer4.safetensors", "model.onnx"]


def test_an_export_that_differs_from_torch_leaves_no_file(root, monkeypatch):
    def differ(*_):
        raise RuntimeError("the ONNX graph differs from torch")

    monkeypatch.setattr("stages.export.to_onnx", lambda *_: b"a graph")
    monkeypatch.setattr("stages.export.parity", differ)
    with pytest.raises(RuntimeError, match="differs from torch"):
        run(PARAMS, root)
    assert not (root / "models/model.onnx").exists()
    assert not (root / "results/export.json").exists()
