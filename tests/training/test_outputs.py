import numpy as np
import pytest

from study.networks.inference import predict
from study.networks.loading import load_model
from study.pipeline.files import read_json
from study.pipeline.libraries import libraries
from study.training import outputs
from study.training.outputs import save_training

CURVE = [{"phase": "head", "epoch": epoch, "val_accuracy": 0.5, "seconds": 1.25} for epoch in (1, 2)]


@pytest.mark.parametrize(("depth", "first"), [("fc", "fc"), ("full", "stem")])
def test_a_training_leaves_its_model_curve_and_cost_and_nothing_else(model, images, tmp_path, depth, first):
    model.unfreeze_from(first)
    save_training(tmp_path, depth, model, CURVE, cached_features=True)

    reloaded = load_model(tmp_path, depth, mirror=False)
    np.testing.assert_array_equal(predict(reloaded, images), predict(model, images))
    folder = tmp_path / f"results/training/{depth}"
    assert (folder / "curve.csv").read_text() == "phase,epoch,val_accuracy\nhead,1,0.5\nhead,2,0.5\n"
    cost = read_json(folder / "cost.json")
    assert (cost["train_seconds"], cost["epoch_seconds"]) == (2.5, [1.25, 1.25])
    learned = reloaded.head if depth == "fc" else reloaded
    assert cost["trainable_parameters"] == sum(parameter.numel() for parameter in learned.parameters())
    assert cost["device"].endswith(" threads")
    assert cost["libraries"] == libraries()
    assert cost["cached_features"] is True
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    written = ("models/{}.safetensors", "results/training/{}/cost.json", "results/training/{}/curve.csv")
    assert files == {name.format(depth) for name in written}


def test_a_training_by_several_processes_says_so(model, tmp_path, monkeypatch):
    monkeypatch.setattr(outputs, "processes", lambda: 2)
    monkeypatch.setattr(outputs, "hardware", lambda: "Some GPU")
    save_training(tmp_path, "full", model, CURVE, cached_features=False)
    assert read_json(tmp_path / "results/training/full/cost.json")["device"] == "2 x Some GPU"


@pytest.mark.parametrize(("native", "precision"), [(True, "bfloat16"), (False, "float32")])
def test_the_cost_names_the_precision(model, tmp_path, monkeypatch, native, precision):
    monkeypatch.setattr(outputs, "has_native_bf16", lambda: native)
    save_training(tmp_path, "fc", model, CURVE, cached_features=True)
    assert read_json(tmp_path / "results/training/fc/cost.json")["precision"] == precision


def test_a_processor_without_a_name_in_proc_is_named_by_the_platform(monkeypatch):
    monkeypatch.setattr(outputs.Path, "read_text", lambda self: "no such line")
    monkeypatch.setattr(outputs.platform, "processor", lambda: "riscv64")
    assert outputs.hardware().startswith("riscv64, ")
