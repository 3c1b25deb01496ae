"""how-deep app: its answers, its refusals, Gradio's client and a real browser, on networks with random weights."""

import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import requests
import torch
from PIL import Image
from playwright.sync_api import sync_playwright
from scipy.special import logsumexp, softmax

from how_deep import app
from study.attribution.cam import cams, heatmap
from study.corruption.catalogue import corrupt
from study.drawing.heatmap_gallery import overlay
from study.evaluation.temperature import save_temperature
from study.networks.backbones import untrained
from study.networks.classifier import Classifier, Head, save_classifier
from study.networks.inference import predict
from study.networks.loading import LIGHT_RESNET, light_backbone
from study.pipeline.files import write_json
from study.pipeline.params import Refusal
from study.sources import image_files
from study.sources.image_files import InputError, read_image

ROOT = Path(app.__file__).parents[1]
CAT = ROOT / "samples/cat.png"
TIMEOUT = 120_000  # ms, of the browser on a busy machine
CLASSES = ["plane", "bird", "cat"]
TEMPERATURE, THRESHOLD, LEAST = 0.25, 0.7, -100.0  # of both variants; no image has so little energy


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A study with two of the four variants."""
    root = tmp_path_factory.mktemp("study")
    torch.manual_seed(0)
    save_classifier(
        Classifier(untrained("resnet18"), Head(hidden=[8], dropout=0.5), CLASSES, 64), root / "models/fc.safetensors"
    )
    light = Classifier(light_backbone(), Head(hidden=[], dropout=0.0), CLASSES, 32)
    save_classifier(light, root / "models/scratch.safetensors")
    sets = [
        {"score": "lac", "target": 0.9, "threshold": 0.5},
        {"score": "lac", "target": 0.95, "threshold": THRESHOLD},
        {"score": "aps", "target": 0.95, "threshold": 0.8},
    ]
    for variant in ("fc", "scratch"):
        save_temperature(root, variant, TEMPERATURE)
        write_json(root / f"results/conformal/{variant}/metrics.json", {"sets": sets})
        write_json(root / f"results/ood/{variant}/thresholds.json", {"energy": {"threshold": LEAST, "below": 0.05}})
    (root / "params.yaml").write_text("mirror: false\ndata: {dataset: cifar10, side: 64}\n")
    return root


@pytest.fixture(scope="module")
def networks(root):
    return app.load_networks(root)[0]


@pytest.fixture
def copy(root, tmp_path):
    """A study to spoil."""
    return shutil.copytree(root, tmp_path / "study")


@pytest.fixture
def run(monkeypatch, capfd):
    """Run the command line as if Gradio were there; returns the exit status, standard output and standard error."""
    monkeypatch.setattr(app, "find_spec", lambda name: True)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["how-deep app", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            app.main()
        return ended.value.code, *capfd.readouterr()

    return run


def image_of(path, side=32):
    return read_image(path.read_bytes(), (side, side))


def test_the_probabilities_are_those_of_the_tempered_logits_the_largest_first(networks):
    (logits,) = predict(networks["fc"].model, image_of(CAT)[None])
    expected = softmax(logits.astype(np.float64) / TEMPERATURE)
    told = app.classify(networks, 32, CAT, "fc", "none", 3).probabilities
    assert told == pytest.approx(dict(zip(CLASSES, expected, strict=True)))
    assert list(told.values()) == sorted(expected, reverse=True)


@pytest.mark.parametrize("size", [0, 1, 2, 3])
def test_the_set_holds_the_classes_within_the_threshold_before_scaling(networks, size):
    (logits,) = predict(networks["scratch"].model, image_of(CAT)[None])
    scores = 1 - softmax(logits.astype(np.float64))
    middles = np.convolve([-1, *np.sort(scores), 3], [0.5, 0.5], "valid")  # between neighbours
    network = networks["scratch"]._replace(threshold=middles[size])
    ranked = [CLASSES[label] for label in np.argsort(scores)]
    assert app.answer(network, image_of(CAT)).classes == ranked[:size]


def test_an_empty_set_has_the_words_of_the_command_line_and_not_those_of_an_outlier():
    assert app.EMPTY == "no class is probable enough"


@pytest.mark.parametrize(("key", "line"), [("dataset: cifar", "data.dataset = 'cifar'"), ("side: 8", "data.side = 8")])
def test_parameters_that_the_study_refuses_are_refused(copy, key, line):
    data = {"dataset": "dataset: folder", "side": "side: 64"} | {key.split(":")[0]: key}
    (copy / "params.yaml").write_text(f"mirror: true\ndata: {{{', '.join(data.values())}}}\n")
    with pytest.raises(Refusal, match=line):
        app.load_networks(copy)


def test_a_picture_of_too_little_energy_gets_a_note(networks):
    (logits,) = predict(networks["fc"].model, image_of(CAT)[None])
    least = logsumexp(logits.astype(np.float64))
    answers = [app.answer(networks["fc"]._replace(least_energy=least + more), image_of(CAT)) for more in (-1e-3, 1e-3)]
    assert [answer.note for answer in answers] == ["", app.UNLIKE]


@pytest.mark.parametrize(("corruption", "severity"), [("gaussian_noise", 5), ("fog", 1)])
def test_the_network_sees_the_picture_corrupted_as_in_the_study_and_always_the_same(networks, corruption, severity):
    answer, again = (app.classify(networks, 32, CAT, "fc", corruption, severity) for _ in range(2))
    seen = corrupt(image_of(CAT)[None], corruption, severity, seed=0)[0]
    np.testing.assert_array_equal(answer.image[4::8, 4::8], seen)
    assert answer.image.shape == (256, 256, 3)
    assert answer.probabilities == again.probabilities
    np.testing.assert_array_equal(answer.image, again.image)


def test_the_grad_cam_is_that_of_the_most_probable_class(networks):
    answer = app.classify(networks, 32, CAT, "fc", "none", 3)
    top = CLASSES.index(next(iter(answer.probabilities)))
    maps = cams(networks["fc"].model, image_of(CAT)[None], np.array([top]), "layer3")["grad_cam"]  # 4x4 of 64 pixels
    np.testing.assert_array_equal(answer.cam, overlay(answer.image, heatmap(maps, 256)[0]))


def test_each_variant_is_offered_that_has_its_checkpoint_and_calibration(networks):
    assert list(networks) == ["fc", "scratch"]
    assert networks["scratch"].model.config["backbone"] == LIGHT_RESNET
    assert (networks["fc"].temperature, networks["fc"].coverage, networks["fc"].threshold) == (0.25, 0.95, 0.7)


@pytest.mark.parametrize(
    "missing",
    [
        "models/fc.safetensors",
        "results/temperature/fc.json",
        "results/conformal/fc/metrics.json",
        "results/ood/fc/thresholds.json",
    ],
)
def test_a_variant_that_lacks_a_file_is_left_out(copy, missing):
    (copy / missing).unlink()
    assert list(app.load_networks(copy)[0]) == ["scratch"]


def test_too_few_validation_images_for_a_threshold_give_sets_of_every_class(copy):
    sets = [{"score": "lac", "target": 0.95, "threshold": None}]
    write_json(copy / "results/conformal/fc/metrics.json", {"sets": sets})
    networks, side = app.load_networks(copy)
    assert sorted(app.classify(networks, side, CAT, "fc", "none", 3).classes) == sorted(CLASSES)


@pytest.mark.parametrize(("dataset", "side"), [("cifar10", 32), ("digits", 32), ("folder", 64)])
def test_pictures_are_brought_to_the_side_of_the_training_images(copy, dataset, side):
    (copy / "params.yaml").write_text(f"mirror: true\ndata: {{dataset: {dataset}, side: 64}}\n")
    networks, told = app.load_networks(copy)
    assert told == side
    assert all(network.model.mirror for network in networks.values())


@pytest.mark.parametrize("spoilt", ["models", "results"])
def test_without_a_trained_variant_one_line_names_the_way_out(copy, run, spoilt):
    shutil.rmtree(copy / spoilt)
    status, out, err = run("--study", copy)
    assert (status, out) == (2, "")
    (line,) = err.splitlines()
    assert re.fullmatch(r"app: no trained variant .*: `dvc repro` makes them, .*", line)


def test_a_folder_that_is_no_study_is_one_line(tmp_path, run):
    status, out, err = run("--study", tmp_path)
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert "params.yaml" in err


def test_without_gradio_one_line_says_how_to_install_it(root, run, monkeypatch):
    monkeypatch.setattr(app, "find_spec", lambda name: None)
    told = "app: gradio is not installed: pip install --no-deps -r requirements/app.txt\n"
    assert run("--study", root) == (2, "", told)


def test_what_is_no_picture_is_one_line(networks, tmp_path, monkeypatch):
    spoilt = tmp_path / "cat.png"
    spoilt.write_bytes(b"no image\n")
    with pytest.raises(InputError, match=r"^not an image, damaged, or none of PNG, .*$"):
        app.classify(networks, 32, spoilt, "fc", "none", 3)
    with pytest.raises(InputError, match=r"^No such file or directory$"):
        app.classify(networks, 32, tmp_path / "missing.png", "fc", "none", 3)
    monkeypatch.setattr(image_files, "MAX_BYTES", 2**20)
    spoilt.write_bytes(bytes(2**20 + 1))
    with pytest.raises(InputError, match=r"^larger than 1 MB$"):
        app.classify(networks, 32, spoilt, "fc", "none", 3)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("full", "none", 3), r"variant 'full': choose from fc, scratch"),
        ((["fc"], "none", 3), r"variant \['fc'\]: choose from fc, scratch"),
        (("fc", "hail", 3), r"corruption 'hail': choose from none, gaussian_noise, .*"),
        (("fc", "fog", 6), r"severity 6: choose from 1, 2, 3, 4, 5"),
        (("fc", "fog", 2.5), r"severity 2\.5: choose from .*"),
        (("fc", "fog", None), r"severity None: choose from .*"),
    ],
)
def test_a_choice_that_is_not_on_offer_is_one_line(networks, arguments, told):
    with pytest.raises(InputError, match=f"^{told}$"):
        app.classify(networks, 32, CAT, *arguments)


@pytest.fixture(scope="module")
def address(root, tmp_path_factory):
    """Where the app serves, in a process that ends if it calls anything but this machine."""
    pytest.importorskip("gradio", reason="needs gradio, of requirements/app.txt")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, [ROOT / "tests/offline", ROOT])),
        "GRADIO_TEMP_DIR": str(tmp_path_factory.mktemp("gradio")),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "how_deep.app", "--study", root, "--port", str(port)]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        line = server.stdout.readline()
        if line != f"Open http://127.0.0.1:{port}/ in a browser; Ctrl-C ends it.\n":
            server.kill()
            pytest.fail(line + server.stderr.read())
        yield f"http://127.0.0.1:{port}/"
        server.terminate()
        server.communicate(timeout=120)
    assert server.returncode == 0
    left = [path.name for path in Path(environment["GRADIO_TEMP_DIR"]).rglob("*.*")]
    assert sorted(left) == sorted(path.name for path in ROOT.glob("samples/*.png"))  # what was uploaded is gone


def asked(address, picture):
    """The answer to a request, as it comes over the wire."""
    call = requests.post(f"{address}gradio_api/call/classify", json={"data": [picture, "fc", "none", 3]}).json()
    return requests.get(f"{address}gradio_api/call/classify/{call['event_id']}").text


@pytest.fixture
def client(address, tmp_path):
    from gradio_client import Client

    client = Client(address, verbose=False, download_files=tmp_path, analytics_enabled=False)
    yield client
    client.close()


@pytest.mark.slow
def test_gradio_s_client_gets_the_same_answer(client, networks):
    from gradio_client import handle_file

    expected = app.classify(networks, 32, CAT, "scratch", "fog", 2)
    seen, cam, probabilities, classes, note = client.predict(
        handle_file(CAT), "scratch", "fog", 2, api_name="/classify"
    )
    np.testing.assert_array_equal(np.asarray(Image.open(seen)), expected.image)
    np.testing.assert_array_equal(np.asarray(Image.open(cam)), expected.cam)
    told = {row["label"]: row["confidence"] for row in probabilities["confidences"]}
    assert told == pytest.approx(expected.probabilities)
    assert (classes, note) == (", ".join(expected.classes) or app.EMPTY, "")


@pytest.mark.slow
def test_gradio_s_client_is_told_what_is_wrong_in_one_line(client, tmp_path):
    from gradio_client import handle_file
    from gradio_client.exceptions import AppError

    spoilt = tmp_path / "cat.png"
    spoilt.write_bytes(b"no image\n")
    with pytest.raises(AppError, match=r"^not an image, damaged, or none of PNG, .*$"):
        client.predict(handle_file(spoilt), "fc", "none", 3, api_name="/classify")
    with pytest.raises(AppError, match=r"^severity 9: choose from 1, 2, 3, 4, 5$"):
        client.predict(handle_file(CAT), "fc", "none", 9, api_name="/classify")
    assert client.predict(None, "fc", "none", 3, api_name="/classify")[-1] == app.CHOOSE


@pytest.mark.parametrize("path", [None, "", str(CAT), "cat\0.png", "c" * 5000, "uploads/../../cat.png"])
def test_a_path_of_no_upload_is_refused(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "uploads").mkdir()
    with pytest.raises(InputError, match=r"^upload the picture first$"):
        app.uploaded(path, tmp_path / "uploads")


def test_the_path_of_an_upload_is_taken(tmp_path):
    assert app.uploaded(str(tmp_path / "1a2b/cat.png"), tmp_path) == tmp_path / "1a2b/cat.png"


@pytest.mark.slow
@pytest.mark.parametrize(
    "picture",
    [
        str(CAT),
        "data:image/png;base64,iVBORw0KGgo=",
        [str(CAT)],
        {"path": str(CAT)},
        {"path": [str(CAT)]},
        {"url": "data:image/png;base64,"},
        {},
        True,
    ],
)
def test_what_is_no_uploaded_picture_is_refused_in_one_line(address, picture):
    event, data, *_ = asked(address, picture).splitlines()
    assert event == "event: error"
    assert json.loads(data.removeprefix("data: "))["error"] == "upload the picture first"


@pytest.mark.slow
def test_a_file_of_this_machine_that_was_not_uploaded_is_not_read(address):
    with CAT.open("rb") as file:
        (uploaded,) = requests.post(f"{address}gradio_api/upload", files={"files": file}).json()
    assert asked(address, {"path": uploaded}).startswith("event: complete\n")
    assert asked(address, {"path": str(CAT), "meta": {"_type": "gradio.FileData"}}).startswith("event: error\n")


@pytest.mark.slow
def test_other_machines_are_not_served_and_a_taken_port_is_one_line(address, root):
    port = int(address.rstrip("/").rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):  # by an address that only a server on all of them listens at
        socket.create_connection(("127.0.0.2", port))
    command = [sys.executable, "-m", "how_deep.app", "--study", root, "--port", str(port)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"app: port {port}: taken or not allowed; --port names another\n"


@pytest.fixture
def page(address, browser_path):
    """The page on a phone with a camera. At the end, no script has failed and nothing else was asked for."""
    camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    complaints, requested = [], []
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=browser_path, args=["--no-sandbox", *camera])
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.set_default_timeout(TIMEOUT)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requested.append(request.url))
        page.goto(address)
        yield page
        browser.close()
    assert complaints == []
    assert [url for url in requested if not url.startswith((address, "data:", f"blob:{address}"))] == []


def drawn(page, label):
    """The image shown under this label, which is there once there is an answer."""
    source = page.locator(".block", has=page.get_by_text(label, exact=True)).locator("img").get_attribute("src")
    return np.asarray(Image.open(io.BytesIO(page.request.get(source).body())))


@pytest.mark.slow
def test_a_sample_a_variant_and_a_corruption_chosen_in_a_browser_are_answered(page, networks):
    expected = app.classify(networks, 32, CAT, "scratch", "contrast", 5)
    page.get_by_label("scratch").check()
    page.get_by_label("Corruption").click()
    page.get_by_role("option", name="contrast").click()
    page.get_by_label("number input for Severity").fill("5")
    page.get_by_label("number input for Severity").press("Enter")
    page.locator("button", has=page.locator("img[src$='cat.png']")).click()

    np.testing.assert_array_equal(drawn(page, "Network input"), expected.image)
    np.testing.assert_array_equal(drawn(page, "Grad-CAM"), expected.cam)
    rows = page.get_by_test_id("label-output-value").locator("xpath=..").inner_text().split()
    shares = [f"{share:.0%}" for share in expected.probabilities.values()]
    assert [word for word in rows if word.endswith("%")] == shares
    assert page.get_by_test_id("label-output-value").inner_text() == next(iter(expected.probabilities))
    assert page.get_by_label("95% prediction set").input_value() == (", ".join(expected.classes) or app.EMPTY)
    assert page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.slow
def test_the_webcam_is_answered_and_what_is_no_picture_is_refused_in_one_line(page, tmp_path):
    page.get_by_label("Capture from camera").click()
    page.get_by_text("Click to Access Webcam").click()
    page.wait_for_function("document.querySelector('video')?.readyState >= 2")  # it has a frame
    page.get_by_label("capture photo").click()
    assert drawn(page, "Network input").shape == (256, 256, 3)

    page.get_by_label("Remove Image").click()
    page.get_by_text(app.CHOOSE).wait_for()
    page.get_by_label("Upload file").click()
    spoilt = tmp_path / "cat.png"
    spoilt.write_bytes(b"no image\n")
    page.locator("input[type=file]").set_input_files(spoilt)
    toast = page.get_by_test_id("toast-body")
    toast.wait_for()
    assert "not an image, damaged, or none of PNG" in toast.inner_text()
