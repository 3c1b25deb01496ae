import json

import numpy as np

from stages.common.examples import Examples
from stages.common.model import trainable
from stages.common.predict import predict
from stages.common.record import save_training
from stages.common.saved import load_classifier


def test_a_training_leaves_its_model_predictions_curve_and_cost(model, images, tmp_path):
    labels = np.arange(len(images)) % 3
    curve = [{"phase": "head", "epoch": epoch, "val_accuracy": 0.5, "seconds": 1.25} for epoch in (1, 2)]
    part = trainable(model, "full")
    save_training(tmp_path, "full", model, part, Examples(images[:10], labels[:10]), Examples(images, labels), curve)

    saved = np.load(tmp_path / "results/predictions/full.npz")
    reloaded = load_classifier(tmp_path / "models/full.safetensors")
    np.testing.assert_array_equal(saved["test_logits"], predict(reloaded, images))
    np.testing.assert_array_equal(saved["val_labels"], labels[:10])
    assert (tmp_path / "results/training/full.csv").read_text() == "phase,epoch,val_accuracy\nhead,1,0.5\nhead,2,0.5\n"
    cost = json.loads((tmp_path / "results/training/full.json").read_text())
    assert (cost["train_seconds"], cost["epoch_seconds"]) == (2.5, [1.25, 1.25])
    assert cost["trainable_parameters"] == sum(parameter.numel() for parameter in reloaded.parameters())
    assert cost["device"]
