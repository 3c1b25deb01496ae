import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from study.evaluation.temperature import tempered_softmax
from study.networks.backbones import untrained
from study.networks.classifier import Classifier, Head
from study.publishing.onnx_graph import parity, to_onnx

TEMPERATURE = 1.7
METADATA = {"variant": "full", "classes": '["plane", "bird", "cat"]'}
LABELS = np.zeros(40, dtype=np.int64)

CLASSES = ["plane", "bird", "cat"]


@pytest.fixture(scope="module", params=[False, True], ids=["alone", "mirror"])
def classifier(request):
    torch.manual_seed(0)
    model = Classifier(untrained("resnet18"), Head(hidden=[8], dropout=0.5), CLASSES, image_size=32).eval()
    model.mirror = request.param
    return model


@pytest.fixture(scope="module")
def graph(classifier):
    return to_onnx(classifier, TEMPERATURE, (32, 32), METADATA)


@pytest.fixture(scope="module")
def session(graph):
    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])


def test_images_go_in_as_bytes_in_batches_of_any_size(session, images):
    (only,) = session.get_inputs()
    assert (only.name, only.type, only.shape) == ("images", "tensor(uint8)", ["batch", 32, 32, 3])
    together = session.run(["logits"], {"images": images})[0]
    assert together.shape == (40, 3)
    for size in (1, 3, 7, 32):
        (logits,) = session.run(["logits"], {"images": images[:size]})
        np.testing.assert_allclose(logits, together[:size], atol=1e-5)


def test_what_comes_out_is_torchs_logits_and_their_calibrated_probabilities(session, classifier, images):
    probabilities, logits = session.run(["probabilities", "logits"], {"images": images})
    with torch.inference_mode():
        expected = classifier(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    np.testing.assert_allclose(probabilities, tempered_softmax(expected, TEMPERATURE), atol=1e-5)


def test_an_image_and_its_mirror_image_get_the_same_answer_with_mirror_alone(session, classifier, images):
    one, other = (
        session.run(["logits"], {"images": np.ascontiguousarray(views)})[0] for views in (images, images[:, :, ::-1])
    )
    assert np.allclose(one, other, rtol=0, atol=1e-5) == classifier.mirror


def test_the_bytes_are_the_same_each_time_even_from_a_model_left_in_training_mode(graph, classifier):
    assert to_onnx(classifier.train(), TEMPERATURE, (32, 32), METADATA) == graph


def test_the_file_is_whole_and_carries_the_metadata(graph):
    model = onnx.load_from_string(graph)
    assert {entry.key: entry.value for entry in model.metadata_props} == METADATA
    assert not any(tensor.external_data for tensor in model.graph.initializer)


def test_the_file_names_no_path_of_the_machine_that_exported(graph):
    assert b"stages/common" not in graph
    assert b".py" not in graph


def test_parity_measures_how_far_the_graph_is_from_torch(graph, classifier, images):
    with torch.inference_mode():
        labels = classifier(torch.from_numpy(images)).argmax(dim=1).numpy()
    labels[:10] = (labels[:10] + 1) % 3
    figures = parity(graph, classifier, TEMPERATURE, images, labels, batch_size=16)
    assert figures["accuracy"] == 30 / 40
    assert figures["images"] == 40
    assert figures["agreement"] == 1
    assert 0 <= figures["max_logit_difference"] <= 1e-4
    assert 0 <= figures["max_probability_difference"] <= 1e-5


def test_a_graph_of_another_temperature_is_an_error(graph, classifier, images):
    with pytest.raises(RuntimeError, match=r"differs from torch by .* 1e-03 and 1e-04 are allowed"):
        parity(graph, classifier, 1.6, images, LABELS)


def test_a_graph_of_other_weights_is_an_error(graph, images):
    other = Classifier(untrained("resnet18"), Head(hidden=[8], dropout=0.5), CLASSES, image_size=32)
    with pytest.raises(RuntimeError, match="differs from torch"):
        parity(graph, other, TEMPERATURE, images, LABELS)


def test_logits_that_are_not_finite_are_an_error(graph, images):
    broken = Classifier(untrained("resnet18"), Head(hidden=[8], dropout=0.5), CLASSES, image_size=32)
    torch.nn.init.constant_(broken.head[-1].bias, float("nan"))
    with pytest.raises(RuntimeError, match="differs from torch by nan"):
        parity(graph, broken, TEMPERATURE, images, LABELS)
