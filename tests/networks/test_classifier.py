import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from study.networks.backbones import untrained
from study.networks.classifier import (
    Classifier,
    Head,
    backbone_path,
    by_distance,
    perceptron,
    pretrained,
    trainable,
)
from study.networks.loading import light_backbone
from study.networks.stages import backbone_state
from study.pipeline.params import Refusal

LEARNING = {  # from each first part on
    "fc": {"head"},
    "layer4": {"layer4", "head"},
    "layer3": {"layer3", "layer4", "head"},
    "layer2": {"layer2", "layer3", "layer4", "head"},
    "layer1": {"layer1", "layer2", "layer3", "layer4", "head"},
    "stem": {"stem", "layer1", "layer2", "layer3", "layer4", "head"},
}


def learning(model):
    """The stages, and the head, with a parameter that learns."""
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    return {name.split(".")[1 if name.startswith("backbone.") else 0] for name in names}


def moved_by_a_pass(model, images):
    """The stages whose batch norms' statistics a pass in training mode changes."""
    before = {name: buffer.clone() for name, buffer in model.backbone.named_buffers()}
    model.train()(torch.from_numpy(images))
    after = dict(model.backbone.named_buffers())
    return {name.split(".")[0] for name, buffer in before.items() if not torch.equal(buffer, after[name])}


def test_pixels_are_normalised_and_resized(model):
    white = torch.full((1, 16, 16, 3), 255, dtype=torch.uint8)
    pixels = model.preprocess(white)
    assert pixels.shape == (1, 3, 32, 32)
    expected = torch.tensor([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225])
    torch.testing.assert_close(pixels[0, :, 5, 5], expected)


@pytest.mark.parametrize("first", LEARNING)
def test_the_head_learns_and_the_stages_from_the_first_on(model, first):
    model.unfreeze_from(first)
    assert learning(model) == LEARNING[first]


def test_what_was_unfrozen_before_does_not_count(model):
    model.unfreeze_from("stem")
    model.unfreeze_from("layer4", "batch_norm")
    model.unfreeze_from("fc")
    assert learning(model) == {"head"}


@pytest.mark.parametrize("first", LEARNING)
def test_frozen_batch_norm_keeps_its_statistics_while_the_rest_trains(model, images, first):
    model.unfreeze_from(first)
    assert moved_by_a_pass(model, images) == LEARNING[first] - {"head"}


def test_a_frozen_stage_takes_no_memory_for_gradients(model, images):
    model.unfreeze_from("layer4")
    maps = []
    model.stage("layer3").register_forward_hook(lambda _module, _inputs, output: maps.append(output))
    model.train()(torch.from_numpy(images)).sum().backward()
    assert not maps[0].requires_grad
    assert all(parameter.grad is None for parameter in model.stage("layer3").parameters())


@pytest.mark.parametrize("first", ["layer3", "stem"])
def test_batch_norms_alone_learn_where_that_is_asked(model, images, first):
    model.unfreeze_from(first, "batch_norm")
    of_norms = {
        f"{name}.{kind}"
        for name, module in model.named_modules()
        for kind in ("weight", "bias")
        if isinstance(module, nn.BatchNorm2d) and name.split(".")[1] in LEARNING[first]
    }
    found = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert found == of_norms | {f"head.{name}" for name, _ in model.head.named_parameters()}
    assert moved_by_a_pass(model, images) == LEARNING[first] - {"head"}


def test_a_network_without_batch_norm_cannot_learn_by_it_alone():
    model = Classifier(untrained("timm/test_convnext"), Head(hidden=[], dropout=0.0), ["a", "b"], 64)
    with pytest.raises(Refusal, match=r"learns = batch_norm: timm/test_convnext has no batch norm from layer3 on$"):
        model.unfreeze_from("layer3", "batch_norm")
    model.unfreeze_from("fc", "batch_norm")
    assert learning(model) == {"head"}


def test_the_light_network_learns_from_its_stem_on():
    model = Classifier(light_backbone(), Head(hidden=[], dropout=0.0), ["a", "b"], 32)
    model.unfreeze_from("layer3")
    assert learning(model) == {"layer3", "layer4", "head"}
    model.unfreeze_from("stem")
    assert learning(model) == {"layer2", "layer3", "layer4", "head"}  # the whitening never learns


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


def test_the_head_on_pooled_features_answers_what_the_whole_model_does(model, images):
    batch = torch.from_numpy(images)
    torch.testing.assert_close(model.head(model.pooled(batch)), model(batch))
    assert model.pooled(batch).shape == (len(images), model.features)


def test_what_learns_is_grouped_by_its_distance_from_the_logits(model):
    model.unfreeze_from("stem")
    groups = [model.head, *(model.stage(name) for name in ("layer4", "layer3", "layer2", "layer1", "stem"))]
    for group, part in zip(by_distance(model), groups, strict=True):
        assert [id(parameter) for parameter in group] == [id(parameter) for parameter in part.parameters()]
    model.unfreeze_from("layer4")
    assert len(by_distance(model)) == 2
    assert [id(p) for p in by_distance(model.head)[0]] == [id(p) for p in trainable(model.head)]


def test_pretrained_weights_say_which_backbone_they_are_of(images, tmp_path):
    torch.manual_seed(0)
    head = Head(hidden=[], dropout=0.0)
    other = Classifier(untrained("mobilenet_v3_small"), head, ["plane", "bird"], 32).eval()
    backbone_path(tmp_path).parent.mkdir(parents=True)
    state = {name: tensor.contiguous() for name, tensor in backbone_state(other.backbone).items()}
    save_file(state, backbone_path(tmp_path), {"backbone": "mobilenet_v3_small"})
    model = pretrained(tmp_path, head, ["plane", "bird"], 32)
    assert model.config["backbone"] == "mobilenet_v3_small" and not model.training
    batch = torch.from_numpy(images)
    assert torch.equal(model.pooled(batch), other.pooled(batch))


def test_a_head_without_hidden_layers_is_linear():
    head = perceptron(4, Head(hidden=[], dropout=0.0), 3).eval()
    x, y = torch.randn(2, 5, 4)
    torch.testing.assert_close(head(x + y) + head(torch.zeros(5, 4)), head(x) + head(y))
