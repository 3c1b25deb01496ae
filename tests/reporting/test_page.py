import copy
import json
import re
from base64 import b64decode
from html.parser import HTMLParser
from io import BytesIO

import jinja2
import numpy as np
import pytest
from PIL import Image

from study.evaluation.predictions import Predictions
from study.evaluation.scores import ece
from study.evaluation.temperature import tempered_softmax
from study.reporting.page import Gallery, load_gallery, pack, sprite, write_page
from study.reporting.results import load_results
from study.reporting.summary import summarise
from tests import made_up_results

CLASSES = ["cat", "dog", "</script><b>ship & boat"]
IMAGES = 300
PICTURES = 60
TEMPERATURES = {"fc": 0.9, "layer4": 1.5, "full": 1.2, "scratch": 1.1}
BINS = made_up_results.PARAMS["calibrate"]["bins"]


def page_inputs(root, classes=CLASSES, images=IMAGES, pictures=PICTURES):
    """What write_page takes but its path, every figure made up. root: an empty folder to work in."""
    rng = np.random.default_rng(0)
    content = made_up_results.results(rng)
    for variant, temperature in TEMPERATURES.items():
        content[f"calibration/{variant}/metrics.json"]["temperature"] = temperature
    made_up_results.write_results(root, content)
    results = load_results(root)
    labels = rng.integers(0, len(classes), images)
    hints = 2 * np.eye(len(classes))[labels]
    return {
        "freeze": "layer4",
        "params": made_up_results.PARAMS,
        "classes": classes,
        "summary": summarise(results.calibration, results.corruption, results.training),
        "results": results,
        "conformal": results.conformal,
        "test_images": rng.integers(0, 256, (images, 32, 32, 3), dtype=np.uint8),
        "predictions": {
            variant: Predictions((hints + rng.normal(0, 1.5, hints.shape)).astype(np.float32), labels)
            for variant in TEMPERATURES
        },
        "gallery": Gallery(
            np.sort(rng.choice(images, pictures, replace=False)),
            rng.integers(0, 256, (pictures, 32, 32, 3), dtype=np.uint8),
            rng.random((pictures, 4, 4)).astype(np.float16),
        ),
    }


class Reader(HTMLParser):
    """The tags of a page with their attributes, and the text of each <script> and <style>."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.raw, self.text, self.inside = [], [], [], None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.inside = tag
        if tag in ("script", "style"):
            self.raw.append([tag, dict(attributes), ""])

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, text):
        if self.inside in ("script", "style"):
            self.raw[-1][2] += text
        else:
            self.text.append(text)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return page_inputs(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def page(inputs, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(path, **inputs)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def reader(page):
    return Reader(page)


@pytest.fixture(scope="module")
def data(reader):
    ((_, _, text),) = [raw for raw in reader.raw if raw[1].get("id") == "data"]
    return json.loads(text)


def test_nothing_in_the_page_is_loaded_from_elsewhere(reader):
    loading = ("src", "srcset", "poster", "action", "background")
    loaded = [attributes[name] for _, attributes in reader.tags for name in loading if name in attributes]
    links = [attributes["href"] for _, attributes in reader.tags if "href" in attributes]
    styles = "".join(text for tag, _, text in reader.raw if tag == "style")
    assert [source for source in loaded if not source.startswith("data:image/webp;base64,")] == []
    assert {link[0] for link in links if link != "data:,"} == {"#"}
    assert "url(" not in styles and "@import" not in styles


def test_the_page_forbids_the_browser_every_request(reader):
    (policy,) = [a["content"] for _, a in reader.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "http" not in policy


def test_every_link_within_the_page_has_its_target(reader):
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    targets = {attributes["href"][1:] for _, attributes in reader.tags if attributes.get("href", "").startswith("#")}
    assert len(ids) == len(set(ids))
    assert targets <= set(ids)


def test_every_control_has_a_label(reader):
    labelled = {attributes["for"] for tag, attributes in reader.tags if tag == "label"}
    controls = {attributes["id"] for tag, attributes in reader.tags if tag in ("select", "input")}
    assert controls <= labelled


def test_every_section_that_a_reader_looks_for_is_there(page):
    headings = re.findall(r"<h2 id=\"(.*?)-title\"", page)
    assert headings == [
        "results",
        "calibration",
        "robustness",
        "beyond",
        "errors",
        "gallery",
        "attribution",
        "adversarial",
        "training",
        "reproduce",
    ]


def test_the_tables_tell_the_figures_that_were_measured(inputs, page):
    for variant, scores in inputs["summary"].items():
        bounds = inputs["results"].comparison["shift"][variant]["corrupted"]["accuracy"]
        interval = f'<span class="interval">{100 * bounds["low"]:.2f} to {100 * bounds["high"]:.2f}</span>'
        assert f"<td>{scores['ece_before']:.4f}</td>" in page
        assert f"<td>{100 * scores['corrupted_accuracy']:.2f}\N{NO-BREAK SPACE}%{interval}</td>" in page
    for pair in inputs["results"].comparison["pairs"]:
        assert f"<td>{pair['mcnemar']['only_first']:,} : {pair['mcnemar']['only_second']}</td>" in page
        assert f"<td>{pair['mcnemar']['p_holm']:.4f}</td>" in page
    for accuracy in inputs["results"].adversarial["accuracy"]:
        assert f"<td>{100 * accuracy:.2f}\N{NO-BREAK SPACE}%<" in page
    assert '<code>calibrate.resamples</code></th><td class="wrap">321</td>' in page


def test_it_opens_with_three_findings(page, inputs):
    findings = page.split('<ol class="findings">')[1].split("</ol>")[0].split("<li>")[1:]
    accuracy = {variant: inputs["summary"][variant]["accuracy"] for variant in TEMPERATURES}
    first, second, *_ = sorted(accuracy, key=accuracy.get, reverse=True)
    leader, scaling, corruption = (finding.replace("\N{NO-BREAK SPACE}", " ") for finding in findings)
    assert f"<code>{first}</code> is the most accurate: {100 * accuracy[first]:.2f} %" in leader
    assert f"against {100 * accuracy[second]:.2f} % for <code>{second}</code>" in leader
    (pair,) = (of for of in inputs["results"].comparison["pairs"] if {of["first"], of["second"]} == {first, second})
    assert ("may be chance" in leader) == (pair["mcnemar"]["p_holm"] >= 0.05)
    published = inputs["summary"]["layer4"]
    assert f"from {published['ece_before']:.4f} to {published['ece_after']:.4f}" in scaling
    assert f"falls to {100 * published['corrupted_accuracy']:.2f} %" in corruption


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("efficientnet_lite0", "An EfficientNet-Lite0 pretrained on ImageNet was fine-tuned"),
        ("timm/convnext_atto", "A convnext_atto with pretrained weights from timm was fine-tuned"),
    ],
)
def test_the_abstract_says_what_was_fine_tuned(inputs, tmp_path, name, line):
    params = copy.deepcopy(inputs["params"])
    params["backbone"] |= {"name": name, "weights": "imagenet"}
    write_page(tmp_path / "report.html", **inputs | {"params": params})
    assert f'<p class="abstract">{line}' in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_tiny_p_value_is_told_as_a_bound(inputs, tmp_path):
    results = copy.deepcopy(inputs["results"])
    results.comparison["pairs"][0]["mcnemar"]["p_holm"] = 3e-9
    write_page(tmp_path / "report.html", **inputs | {"results": results})
    assert "<td>&lt; 0.0001</td>" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_class_may_have_any_name(reader, data):
    scripts = [attributes.get("id") for tag, attributes in reader.tags if tag == "script"]
    assert scripts == ["data", None, None]
    assert data["classes"] == CLASSES
    assert ("b", {}) not in reader.tags
    assert CLASSES[2] in "".join(reader.text)


def test_the_confidences_give_the_ece_of_the_tables(inputs, data):
    labels = np.frombuffer(b64decode(data["predictions"]["labels"]), "<u1")
    for variant, (logits, truth) in inputs["predictions"].items():
        packed = data["predictions"]["of"][variant]
        right = np.frombuffer(b64decode(packed["predicted"]), "<u1") == labels
        confidence = np.frombuffer(b64decode(packed["after"]), "<f4").astype(np.float64)
        # A class per image, right or wrong, whose confidence is that of the prediction: the same bins, the same ECE.
        of_two = np.stack([confidence, np.zeros_like(confidence)], axis=1)
        assert ece(of_two, np.where(right, 0, 1), BINS) == pytest.approx(
            ece(tempered_softmax(logits, TEMPERATURES[variant]), truth, BINS), abs=1e-6
        )


def test_the_probabilities_of_the_pictures_are_the_calibrated_ones(inputs, data):
    logits = inputs["predictions"]["full"].logits[inputs["gallery"].rows]
    packed = np.frombuffer(b64decode(data["gallery"]["probabilities"]["full"]), "<u2").reshape(logits.shape)
    np.testing.assert_allclose(packed / 65535, tempered_softmax(logits, TEMPERATURES["full"]), atol=0.5 / 65535 + 1e-9)


def test_a_map_that_is_zero_everywhere_stays_so(inputs, tmp_path):
    maps = inputs["gallery"].maps.copy()
    maps[3] = 0
    write_page(tmp_path / "report.html", **inputs | {"gallery": inputs["gallery"]._replace(maps=maps)})
    raw = Reader((tmp_path / "report.html").read_text(encoding="utf-8")).raw
    (data,) = [json.loads(text) for _, attributes, text in raw if attributes.get("id") == "data"]
    packed = np.frombuffer(b64decode(data["gallery"]["maps"]), "<u1").reshape(PICTURES, 16)
    assert packed[3].tolist() == [0] * 16
    assert np.delete(packed, 3, axis=0).max(axis=1).tolist() == [255] * (PICTURES - 1)


def test_the_same_inputs_give_the_same_bytes(inputs, page, tmp_path):
    write_page(tmp_path / "report.html", **inputs)
    assert (tmp_path / "report.html").read_bytes() == page.encode()


def test_a_study_of_full_size_stays_under_six_megabytes(tmp_path):
    classes = [f"class number {label}" for label in range(10)]
    write_page(tmp_path / "report.html", **page_inputs(tmp_path, classes, images=10_000, pictures=900))
    assert (tmp_path / "report.html").stat().st_size < 6e6  # though the pixels of these pictures are noise


def test_a_missing_figure_is_an_error_and_leaves_no_page(inputs, tmp_path):
    summary = copy.deepcopy(inputs["summary"])
    del summary["full"]["accuracy"]
    with pytest.raises(jinja2.UndefinedError):
        write_page(tmp_path / "report.html", **inputs | {"summary": summary})
    assert not (tmp_path / "report.html").exists()


def test_a_sprite_keeps_every_pixel():
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 6, 3), dtype=np.uint8)
    url = sprite(images, columns=3)
    sheet = np.asarray(Image.open(BytesIO(b64decode(url.removeprefix("data:image/webp;base64,")))))
    assert sheet.shape == (2 * 8, 3 * 6, 3)
    np.testing.assert_array_equal(sheet[8:16, 6:12], images[4])  # the fifth: second line, second column
    assert not sheet[8:16, 12:].any()


def test_packing_keeps_values_and_order():
    array = np.array([[0.5, -2.0], [3.25, 1e6]])
    assert np.frombuffer(b64decode(pack(array.T, "<f4")), "<f4").tolist() == [0.5, 3.25, -2.0, 1e6]


def test_the_gallery_shows_the_test_images_of_its_rows(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    for folder in ("results/gradcam", "data/subset"):
        (tmp_path / folder).mkdir(parents=True)
    np.savez(tmp_path / "data/subset/test.npz", images=images, labels=np.zeros(9, int), indices=np.arange(9))
    np.savez(tmp_path / "results/gradcam/gallery.npz", index=np.array([7, 2]), maps=np.ones((2, 4, 4), np.float16))
    gallery = load_gallery(tmp_path)
    np.testing.assert_array_equal(gallery.images, images[[7, 2]])
    assert gallery.rows.tolist() == [7, 2]


def test_large_pictures_are_shown_smaller_so_that_the_page_stays_small(tmp_path):
    (tmp_path / "results/gradcam").mkdir(parents=True)
    (tmp_path / "data/subset").mkdir(parents=True)
    images = np.full((3, 200, 200, 3), [[[[10]]], [[[20]]], [[[30]]]], dtype=np.uint8)
    np.savez(tmp_path / "results/gradcam/gallery.npz", index=np.array([2, 0]), maps=np.zeros((2, 4, 4), np.float16))
    np.savez(tmp_path / "data/subset/test.npz", images=images)
    gallery = load_gallery(tmp_path)
    assert gallery.images.shape == (2, 64, 64, 3) and gallery.images.dtype == np.uint8
    assert (gallery.images[0] == 30).all() and (gallery.images[1] == 10).all()
