import pytest
import torch
from safetensors.torch import save_file

from study.networks.classifier import (
    Classifier,
    Head,
    blocks,
    load_backbone,
    lr_groups,
    perceptron,
    pretrained,
    trainable,
)
from study.pipeline.torchvision_shim import torchvision


def headless_resnet18():
    state = torchvision.models.resnet18(weights=None).state_dict()
    return {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}


def test_the_three_parts_make_up_torchvisions_resnet18(model, images, tmp_path):
    torch.manual_seed(1)
    reference = torchvision.models.resnet18(weights=None)
    reference.fc = torch.nn.Identity()
    save_file(reference.state_dict(), tmp_path / "backbone.safetensors")
    load_backbone(model, tmp_path / "backbone.safetensors")
    pixels = model.preprocess(torch.from_numpy(images))
    features = reference.eval()(pixels)
    torch.testing.assert_close(model.tail(model.trunk(pixels)), features)


def test_pixels_are_normalised_and_resized(model):
    white = torch.full((1, 16, 16, 3), 255, dtype=torch.uint8)
    pixels = model.preprocess(white)
    assert pixels.shape == (1, 3, 32, 32)
    expected = torch.tensor([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225])
    torch.testing.assert_close(pixels[0, :, 5, 5], expected)


@pytest.mark.parametrize("change", [{"extra": torch.zeros(1)}, {"conv1.weight": None}])
def test_a_backbone_with_other_tensors_is_refused(model, tmp_path, change):
    state = {name: tensor for name, tensor in (headless_resnet18() | change).items() if tensor is not None}
    save_file(state, tmp_path / "backbone.safetensors")
    with pytest.raises(RuntimeError, match=next(iter(change))):
        load_backbone(model, tmp_path / "backbone.safetensors")


@pytest.mark.parametrize(
    ("depth", "learning"),
    [("fc", {"head"}), ("layer4", {"tail", "head"}), ("full", {"trunk", "tail", "head"})],
)
def test_each_depth_unfreezes_exactly_its_part(model, depth, learning):
    trainable(model, depth)
    assert {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad} == learning


def test_frozen_batch_norm_keeps_its_statistics_when_the_rest_trains(model, images):
    part = trainable(model, "layer4").train()
    before = {name: tensor.clone() for name, tensor in model.trunk.state_dict().items()}
    with torch.no_grad():
        activations = model.trunk(model.preprocess(torch.from_numpy(images)))
    part(activations)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.trunk.state_dict().items())


def test_an_image_and_its_mirror_image_get_the_same_logits_with_mirror_and_other_ones_without(model, images):
    one, other = torch.from_numpy(images), torch.from_numpy(images[:, :, ::-1].copy())
    alone = model(one), model(other)
    assert not torch.allclose(*alone)
    model.mirror = True
    torch.testing.assert_close(model(one), (alone[0] + alone[1]) / 2)
    torch.testing.assert_close(model(one), model(other))


def test_nothing_is_mirrored_while_it_trains(model, images):
    def trained_on(mirror):
        model.mirror = mirror
        torch.manual_seed(0)  # of the dropout
        return model.train()(torch.from_numpy(images))

    assert torch.equal(trained_on(mirror=True), trained_on(mirror=False))


def test_the_parts_of_every_depth_predict_what_the_whole_model_predicts(model, images):
    batch = torch.from_numpy(images)
    whole = model(batch)
    activations = model.trunk(model.preprocess(batch))
    torch.testing.assert_close(trainable(model, "layer4")(activations), whole)
    torch.testing.assert_close(trainable(model, "fc")(model.tail(activations)), whole)


@pytest.mark.parametrize(
    ("depth", "parts"), [("fc", ["head"]), ("layer4", ["head", "tail"]), ("full", ["head", "tail", "trunk"])]
)
def test_learning_rates_differ_by_the_distance_from_the_logits(model, depth, parts):
    groups = lr_groups(trainable(model, depth))
    for group, name in zip(groups, parts, strict=True):
        expected = list(getattr(model, name).parameters())
        assert all(one is other for one, other in zip(group, expected, strict=True))


def test_the_blocks_come_from_the_head_down_and_hold_every_parameter_once(model):
    order = list(blocks(model))
    assert order[:3] == ["head", "tail.layer4.1", "tail.layer4.0"]
    assert order[-2:] == ["trunk.bn1", "trunk.conv1"]
    held = [parameter for path in order for parameter in model.get_submodule(path).parameters()]
    assert len(held) == len(list(model.parameters())) == len({id(parameter) for parameter in held})


def test_pretrained_weights_say_which_backbone_they_are_of(images, tmp_path):
    torch.manual_seed(0)
    other = Classifier(Head(hidden=[], dropout=0.0), ["plane", "bird"], 32, "mobilenet_v3_small").eval()
    state = {
        name.removeprefix(part): tensor.contiguous()
        for part in ("trunk.", "tail.")
        for name, tensor in other.state_dict().items()
        if name.startswith(part)
    }
    save_file(state, tmp_path / "weights.safetensors", {"backbone": "mobilenet_v3_small"})
    model = pretrained(tmp_path / "weights.safetensors", Head(hidden=[], dropout=0.0), ["plane", "bird"], 32)
    assert model.config["backbone"] == "mobilenet_v3_small"
    pixels = model.preprocess(torch.from_numpy(images))
    assert torch.equal(model.tail(model.trunk(pixels)), other.tail(other.trunk(pixels)))


def test_a_head_without_hidden_layers_is_linear():
    head = perceptron(4, Head(hidden=[], dropout=0.0), 3).eval()
    x, y = torch.randn(2, 5, 4)
    torch.testing.assert_close(head(x + y) + head(torch.zeros(5, 4)), head(x) + head(y))
