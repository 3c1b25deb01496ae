import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lab.backbone import train_tinyimagenet
from lab.backbone.tiny_imagenet import load
from lab.backbone.train_tinyimagenet import Recipe, run, train
from study.networks.backbones import untrained
from study.networks.classifier import Classifier, Head, load_backbone
from study.pipeline.params import Refusal
from study.pipeline.torchvision_shim import torchvision


@pytest.fixture(autouse=True)
def data_at_hand(official_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINY_IMAGENET_DIR", str(official_folder))


def short(cycles: str) -> Recipe:
    return Recipe(cycles=cycles, batch_size=12, sub_batches=2, cutmix=0.0)


@pytest.mark.slow
def test_one_epoch_writes_a_backbone_and_where_it_comes_from(tmp_path: Path) -> None:
    output, cache = tmp_path / "out" / "backbone.safetensors", tmp_path / "cache"

    run(output, short("1x32@0.05"), cache)

    card = json.loads(output.with_suffix(".json").read_text())
    assert card["file"] == "backbone.safetensors"
    assert card["sha256"] == hashlib.sha256(output.read_bytes()).hexdigest()
    assert card["recipe"]["cycles"] == "1x32@0.05"
    assert (card["data"]["classes"], card["data"]["train"], card["data"]["val"]) == (4, 24, 8)
    assert 0 <= card["top1"] <= 1
    assert card["train_seconds"] > 0
    assert not list(cache.glob("*.pt*"))


@pytest.mark.slow
def test_the_written_tensors_are_torchvisions_without_the_head_in_float16(tmp_path: Path) -> None:
    output = tmp_path / "backbone.safetensors"

    run(output, short("1x32@0.05"), tmp_path)

    weights = load_file(output)
    expected = torchvision.models.resnet18().state_dict()
    assert set(weights) == {name for name in expected if not name.startswith("fc.")}
    for name, tensor in weights.items():
        assert tensor.shape == expected[name].shape
        assert tensor.dtype == (torch.int64 if name.endswith("num_batches_tracked") else torch.float16)


@pytest.mark.slow
def test_the_written_backbone_loads_as_what_was_trained_but_for_rounding(tmp_path: Path, official_folder: Path) -> None:
    output = tmp_path / "backbone.safetensors"
    data = load(official_folder, tmp_path)
    trained, _ = train(data, short("1x32@0.05"), tmp_path / "run.pt")
    run(output, short("1x32@0.05"), tmp_path)

    loaded = Classifier(untrained("resnet18"), Head(hidden=[], dropout=0.0), ["a", "b"], 32)
    load_backbone(loaded, output)

    expected = trained.cpu().state_dict()
    for name, tensor in loaded.state_dict().items():
        if not name.startswith("head."):
            torch.testing.assert_close(tensor, expected[name], rtol=2**-11, atol=1e-7)  # float16: 11 significant bits


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, resumed = tmp_path / "whole.safetensors", tmp_path / "resumed.safetensors"
    recipe = short("1x32@0.05 1x32@0.02")
    run(whole, recipe, tmp_path)
    store = train_tinyimagenet._store

    def store_and_stop(*args: object) -> None:
        store(*args)
        raise KeyboardInterrupt

    with monkeypatch.context() as interruption, pytest.raises(KeyboardInterrupt):
        interruption.setattr(train_tinyimagenet, "_store", store_and_stop)
        run(resumed, recipe, tmp_path)
    assert not resumed.exists()
    run(resumed, recipe, tmp_path)

    assert "going on after epoch 1\n" in capsys.readouterr().out
    assert resumed.read_bytes() == whole.read_bytes()


@pytest.mark.slow
def test_a_run_that_only_failed_to_write_trains_no_epoch_again(
    tmp_path: Path, official_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = load(official_folder, tmp_path)
    trained, seconds = train(data, short("1x32@0.05 1x48@0.02"), tmp_path / "run.pt")
    capsys.readouterr()

    again, same_seconds = train(data, short("1x32@0.05 1x48@0.02"), tmp_path / "run.pt")

    assert "2/2" not in capsys.readouterr().out
    assert (again.image_size, same_seconds) == (48, seconds)
    assert all(torch.equal(tensor, trained.state_dict()[name]) for name, tensor in again.state_dict().items())


def test_a_run_does_not_go_on_from_another_recipes_checkpoint(tmp_path: Path, official_folder: Path) -> None:
    data = load(official_folder, tmp_path)
    key = train_tinyimagenet._run_key

    assert key(short("1x32@0.05"), data) == key(short("1x32@0.05"), data)
    assert key(short("1x32@0.05"), data) != key(short("2x32@0.05"), data)
    assert key(short("1x32@0.05"), data) != key(short("1x32@0.05"), data._replace(key="other pictures"))
    assert key(short("1x32@0.05"), data) != key(short("1x32@0.05"), data, started_from="other weights")


@pytest.mark.slow
def test_training_learns_to_tell_the_colours_apart(tmp_path: Path, official_folder: Path) -> None:
    data = load(official_folder, tmp_path)

    model, _ = train(data, short("4x32@0.005"), tmp_path / "run.pt")

    with torch.no_grad():  # a dozen steps are too few for batch norm's running statistics
        logits = model.cpu().train()(torch.from_numpy(data.val.images))
    assert logits.argmax(1).tolist() == data.val.labels.tolist()


def test_weight_decay_spares_batch_norm_and_biases() -> None:
    model = Classifier(untrained("resnet18"), Head(hidden=[], dropout=0.0), ["a", "b"], 32)

    decayed, spared = train_tinyimagenet._optimizer(model, Recipe()).param_groups

    assert (decayed["weight_decay"], spared["weight_decay"]) == (5e-4, 0.0)
    assert {parameter.ndim for parameter in decayed["params"]} == {2, 4}
    assert len(spared["params"]) == 2 * 20 + 1  # weight and bias of 20 batch norms, and the head's bias
    assert len(decayed["params"]) == 20 + 1


@pytest.mark.slow
def test_a_run_may_start_from_given_weights_and_says_which(tmp_path: Path, official_folder: Path) -> None:
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    run(first, short("1x32@0.05"), tmp_path)
    run(second, short("1x32@0.000001"), tmp_path, start=first)

    before, after = load_file(first), load_file(second)
    torch.testing.assert_close(after["layer4.0.conv1.weight"], before["layer4.0.conv1.weight"], rtol=0, atol=1e-3)
    card = json.loads(second.with_suffix(".json").read_text())
    assert card["started_from_sha256"] == hashlib.sha256(first.read_bytes()).hexdigest()
    assert json.loads(first.with_suffix(".json").read_text())["started_from_sha256"] is None


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_so_many_of_the_sub_batches_are_mixed(
    tmp_path: Path, official_folder: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    seen = []
    mixed = train_tinyimagenet.mixed
    monkeypatch.setattr(train_tinyimagenet, "mixed", lambda *args: seen.append(args) or mixed(*args))

    train(load(official_folder, tmp_path), short("1x32@0.05").model_copy(update={"cutmix": share}), tmp_path / "run.pt")

    assert len(seen) == share * 4  # 2 batches of 2 parts


@pytest.mark.slow
def test_every_other_sub_batch_is_seen_at_cifars_size(
    tmp_path: Path, official_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    forward = Classifier.forward

    def watched(model: Classifier, images: torch.Tensor) -> torch.Tensor:
        if model.training:
            seen.append(tuple(images.shape))
        return forward(model, images)

    monkeypatch.setattr(Classifier, "forward", watched)
    train(load(official_folder, tmp_path), short("1x48@0.05"), tmp_path / "run.pt")

    assert seen == [(6, 48, 48, 3), (6, 32, 32, 3)] * 2


@pytest.mark.parametrize(
    ("output", "cycles", "complaint"),
    [
        ("backbone.pt", "1x32@0.05", "must end in .safetensors"),
        ("backbone.safetensors", "1x32", "is not a cycle"),
    ],
)
def test_bad_arguments_are_refused_before_any_data_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, cycles: str, complaint: str
) -> None:
    monkeypatch.setenv("TINY_IMAGENET_DIR", str(tmp_path / "nowhere"))

    with pytest.raises(Refusal, match=complaint):
        run(tmp_path / output, Recipe(cycles=cycles), tmp_path)


def test_top1_is_the_share_of_right_answers(tmp_path: Path, official_folder: Path) -> None:
    data = load(official_folder, tmp_path)
    model = Classifier(untrained("resnet18"), Head(hidden=[], dropout=0.0), data.classes, 32)
    torch.nn.init.zeros_(model.head[-1].weight)
    model.head[-1].bias.data = torch.tensor([0.0, 0.0, 1.0, 0.0])

    assert train_tinyimagenet.top1(model, data.val) == 2 / 8
    assert train_tinyimagenet.top1(model, train_tinyimagenet._shrunk(data.val)) == 2 / 8
    assert train_tinyimagenet._shrunk(data.val).images.shape == (8, 32, 32, 3)
    assert train_tinyimagenet._shrunk(data.val).images.dtype == np.uint8
