import re

import numpy as np
import pytest
import torch
from captum.attr import LayerActivation, LayerGradCam, LayerGradientXActivation

from study.attribution.cam import GradCam, cams, deepest_layer, heatmap, require_map
from study.networks.backbones import untrained
from study.networks.classifier import Classifier, Head
from study.networks.stages import map_size
from study.pipeline.params import Refusal, parse

LAYERS = ["layer2", "layer3", "layer4"]
BLOCK = {
    "layer": "layer3",
    "images": 24,
    "corruption": "gaussian_noise",
    "severity": 3,
    "faithfulness_images": 100,
    "seed": 0,
}

CLASSES = ["plane", "bird", "cat"]


def grad_cam(*args, **kwargs):
    return cams(*args, **kwargs)["grad_cam"]


def through_layer4(model, images):
    maps = model.preprocess(torch.from_numpy(images))
    for name, stage in model.backbone.named_children():
        if name != "pool":
            maps = stage(maps)
    return maps.numpy()


def layer_of(model, name):
    return model.stage(name)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Classifier(untrained("resnet18"), Head(hidden=[64], dropout=0.5), CLASSES, image_size=64).eval()


@pytest.fixture
def classes():
    return np.arange(6) % 3


@pytest.mark.parametrize("layer", LAYERS)
def test_maps_agree_with_captum(model, images, classes, layer):
    inputs = torch.from_numpy(images[:6]).float().requires_grad_()
    oracle = LayerGradCam(model, layer_of(model, layer))
    expected = oracle.attribute(inputs, target=torch.from_numpy(classes), relu_attributions=True)
    maps = grad_cam(model, images[:6], classes, layer)
    assert maps.dtype == np.float32
    assert maps.any(axis=(1, 2)).sum() >= 2  # a comparison of zeros would prove nothing
    np.testing.assert_allclose(maps, expected[:, 0].detach().numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    ("method", "weights"),
    [("hirescam", lambda gradient: gradient), ("layer_cam", lambda gradient: np.maximum(gradient, 0))],
)
def test_the_other_methods_agree_with_captum_s_activations_and_gradients(
    model, images, classes, layer, method, weights
):
    inputs, target = torch.from_numpy(images[:6]).float(), torch.from_numpy(classes)
    activations = LayerActivation(model, layer_of(model, layer)).attribute(inputs).detach().numpy()
    product = LayerGradientXActivation(model, layer_of(model, layer)).attribute(inputs.requires_grad_(), target)
    gradient = np.divide(product.detach().numpy(), activations, out=np.zeros_like(activations), where=activations > 0)
    expected = np.maximum((weights(gradient) * activations).sum(axis=1), 0)
    maps = cams(model, images[:6], classes, layer)[method]
    assert maps.dtype == np.float32
    assert maps.any(axis=(1, 2)).sum() >= 2
    np.testing.assert_allclose(maps, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("layer", LAYERS)
def test_with_mirror_the_map_is_of_the_image_and_not_of_its_mirror_image(model, images, classes, layer):
    flipped = np.ascontiguousarray(images[:6, :, ::-1])
    own, other = (cams(model, views, classes, layer)["hirescam"] for views in (images[:6], flipped))
    model.mirror = True
    found = cams(model, images[:6], classes, layer)["hirescam"]
    np.testing.assert_allclose(found, own / 2, rtol=0, atol=1e-6)  # the image has half a share in the mean
    assert not np.allclose(own, other, rtol=0, atol=1e-4)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_frozen_model_gives_the_same_maps(model, images, classes, layer):
    expected = grad_cam(model, images[:6], classes, layer)
    np.testing.assert_array_equal(grad_cam(model.requires_grad_(False), images[:6], classes, layer), expected)


def test_with_a_linear_head_the_map_of_layer4_is_a_class_activation_map(images):
    torch.manual_seed(0)
    model = Classifier(untrained("resnet18"), Head(hidden=[], dropout=0), CLASSES, image_size=64).eval()
    with torch.no_grad():
        activations = through_layer4(model, images[:5])
    weights = model.head[-1].weight.detach().numpy()[[2] * 5]
    # The pooling divides by the 2 x 2 places and so does the mean of its gradient: together by 4.
    expected = np.maximum(np.einsum("nk,nkhw->nhw", weights, activations) / 4, 0)
    np.testing.assert_allclose(grad_cam(model, images[:5], np.full(5, 2), "layer4"), expected, atol=1e-6)


def test_a_class_that_no_place_speaks_for_has_a_map_of_zeros(images):
    model = Classifier(untrained("resnet18"), Head(hidden=[], dropout=0), ["plane", "bird"], image_size=64)
    torch.nn.init.constant_(model.head[-1].weight, -1)  # activations are never negative
    maps = grad_cam(model, images[:3], np.zeros(3, dtype=np.int64), "layer4")
    np.testing.assert_array_equal(maps, np.zeros((3, 2, 2)))
    np.testing.assert_array_equal(heatmap(maps, 32), np.zeros((3, 32, 32)))


def test_each_image_is_explained_by_itself_whatever_the_batch(model, images, classes):
    together = grad_cam(model, images[:6], classes, "layer3")
    np.testing.assert_allclose(grad_cam(model, images[:6], classes, "layer3", batch_size=4), together, atol=1e-6)


def test_a_model_left_in_training_mode_is_explained_in_evaluation_mode(model, images, classes):
    expected = grad_cam(model, images[:6], classes, "layer3")
    np.testing.assert_array_equal(grad_cam(model.train(), images[:6], classes, "layer3"), expected)


def test_no_images_give_no_maps(model, images, classes):
    maps = grad_cam(model, images[:0], classes[:0], "layer2")
    assert maps.shape == (0, 8, 8)
    assert heatmap(maps, 32).shape == (0, 32, 32)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("image_size", [32, 33, 64, 100])
def test_map_size_is_that_of_the_map(images, layer, image_size):
    model = Classifier(untrained("resnet18"), Head(hidden=[], dropout=0), ["plane", "bird"], image_size)
    size = model.map_size(layer)
    assert grad_cam(model, images[:1], np.zeros(1, dtype=np.int64), layer).shape == (1, size, size)


@pytest.mark.parametrize("method", ["grad_cam", "hirescam", "layer_cam"])
def test_no_map_is_negative(model, images, classes, method):
    assert (cams(model, images[:6], classes, "layer2")[method] >= 0).all()


def test_at_layer4_with_a_linear_head_grad_cam_and_hirescam_are_the_same_map(images):
    model = Classifier(untrained("resnet18"), Head(hidden=[], dropout=0), ["plane", "bird"], image_size=64)
    maps = cams(model, images[:5], np.zeros(5, dtype=np.int64), "layer4")
    assert maps["grad_cam"].any()
    np.testing.assert_allclose(maps["hirescam"], maps["grad_cam"], rtol=0, atol=1e-6)


def test_a_heatmap_is_scaled_to_its_own_maximum():
    maps = np.zeros((2, 2, 2), dtype=np.float32)
    maps[0, 0, 0], maps[1, 1, 1] = 4, 0.5
    heat = heatmap(maps, 8)
    assert heat.shape == (2, 8, 8)
    assert heat.max(axis=(1, 2)).tolist() == [1, 1]
    assert (heat[0, 0, 0], heat[0, 7, 7], heat[1, 7, 7]) == (1, 0, 1)


@pytest.mark.parametrize(("layer", "image_size"), [("layer2", 32), ("layer3", 64), ("layer4", 128), ("layer4", 97)])
def test_a_map_of_four_by_four_is_enough(layer, image_size):
    stages = untrained("resnet18").stages
    assert map_size(stages, layer, image_size) == 4
    require_map(layer, stages, image_size)


def test_the_deepest_layer_is_the_last_whose_map_is_fine_enough():
    layers = {32: "layer2", 64: "layer3", 96: "layer3", 128: "layer4"}
    models = {
        size: Classifier(untrained("resnet18"), Head(hidden=[], dropout=0), ["plane", "bird"], size) for size in layers
    }
    assert {size: deepest_layer(model) for size, model in models.items()} == layers


@pytest.mark.parametrize(
    ("layer", "image_size", "size", "allowed"),
    [("layer4", 64, "2x2", "layer2, layer3"), ("layer3", 32, "2x2", "layer2"), ("layer4", 96, "3x3", "layer2, layer3")],
)
def test_a_coarser_map_is_refused_in_a_line_that_names_what_is_allowed(layer, image_size, size, allowed):
    with pytest.raises(
        Refusal, match=rf"gradcam\.layer = '{layer}': its map is {size} of .*{image_size}.*: {allowed}$"
    ):
        require_map(layer, untrained("resnet18").stages, image_size)


@pytest.mark.parametrize(
    ("block", "key"),
    [
        ({"layer": "layer1"}, "gradcam.layer = 'layer1'"),
        ({"images": 19}, "gradcam.images = 19"),
        ({"images": 201}, "gradcam.images = 201"),
        ({"images": "24"}, "gradcam.images = '24'"),
        ({"corruption": "rain"}, "gradcam.corruption = 'rain'"),
        ({"severity": 0}, "gradcam.severity = 0"),
        ({"severity": 6}, "gradcam.severity = 6"),
        ({"faithfulness_images": 9}, "gradcam.faithfulness_images = 9"),
        ({"faithfulness_images": 1001}, "gradcam.faithfulness_images = 1001"),
        ({"seed": -1}, "gradcam.seed = -1"),
        ({"alpha": 1}, "gradcam.alpha is not a known parameter"),
    ],
)
def test_a_bad_block_is_refused_by_key(block, key):
    with pytest.raises(Refusal, match=re.escape(key)):
        parse({"gradcam": BLOCK | block}, "gradcam", GradCam)


def test_every_key_of_the_block_is_needed():
    for key in BLOCK:
        with pytest.raises(Refusal, match=rf"gradcam\.{key} is missing"):
            parse({"gradcam": {name: value for name, value in BLOCK.items() if name != key}}, "gradcam", GradCam)
