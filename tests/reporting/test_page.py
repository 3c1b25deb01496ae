import copy
import json
import re
from base64 import b64decode
from html.parser import HTMLParser
from io import BytesIO
from itertools import combinations

import jinja2
import numpy as np
import pytest
from PIL import Image

from study.evaluation.predictions import Predictions
from study.evaluation.scores import ece
from study.evaluation.temperature import tempered_softmax
from study.reporting.page import write_page
from study.reporting.page_data import Explorer, Gallery, load_explorer, load_gallery, pack, sprite
from study.reporting.results import load_results
from study.reporting.summary import summarise
from tests import made_up_results

CLASSES = ["cat", "dog", "</script><b>ship & boat"]
IMAGES = 300
PICTURES = 60
TEMPERATURES = {"fc": 0.9, "layer4": 1.5, "full": 1.2, "scratch": 1.1}
CONDITIONS = [("clean", 0), *((name, level) for name in ("gaussian_noise", "fog") for level in range(1, 6))]
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
    explored = np.arange(len(classes))
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
            smooth_images(rng, pictures),
            rng.random((pictures, 4, 4)).astype(np.float16),
        ),
        "explorer": Explorer(
            CONDITIONS,
            explored,
            np.stack([smooth_images(rng, len(CONDITIONS)) for _ in explored]),
            {
                variant: rng.normal(0, 2, (len(explored), len(CONDITIONS), len(classes))).astype(np.float32)
                for variant in TEMPERATURES
            },
        ),
    }


def smooth_images(rng, count):
    """Grey ramps of 32 pixels from random shades, which lossy compression keeps nearly as they are: uint8."""
    first, step = rng.integers(0, 160, (count, 1, 1, 1)), rng.integers(1, 4, (count, 1, 1, 1))
    return (
        np.repeat((first + step * np.arange(32)[None, None, :, None]), 32, axis=1)
        .repeat(3, axis=3)
        .clip(0, 255)
        .astype(np.uint8)
    )


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
        "explorer",
        "calibration",
        "withheld",
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
    for measure in ("corrupted_accuracy", "accuracy"):
        assert f"{100 * published[measure]:.2f} %" in corruption


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("efficientnet_lite0", "An EfficientNet-Lite0 pretrained on ImageNet was fine-tuned"),
        ("timm/convnext_atto", "A convnext_atto with pretrained weights from timm was fine-tuned"),
    ],
)
def test_the_abstract_says_what_was_fine_tuned(inputs, undrawn, tmp_path, name, line):
    params = copy.deepcopy(inputs["params"])
    params["backbone"] |= {"name": name, "weights": "imagenet"}
    write_page(tmp_path / "report.html", **inputs | {"params": params})
    assert f'<p class="abstract">{line}' in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_check_that_few_images_failed_says_that_they_are_too_few(inputs, undrawn, tmp_path):
    said = {}
    for images in (20, 100):
        params = copy.deepcopy(inputs["params"])
        params["adversarial"]["images"] = images
        write_page(tmp_path / "page.html", **inputs | {"params": params})
        said[images] = (tmp_path / "page.html").read_text().count("too few images to tell")
    assert said[20] > said[100]


def test_a_tiny_p_value_is_told_as_a_bound(inputs, undrawn, tmp_path):
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


def test_a_map_that_is_zero_everywhere_stays_so(inputs, undrawn, tmp_path):
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


def test_a_study_of_full_size_stays_under_four_megabytes(tmp_path):
    classes = [f"class number {label}" for label in range(10)]
    inputs = page_inputs(tmp_path, classes, images=10_000, pictures=900)
    noise = np.random.default_rng(0).integers(0, 256, (900, 32, 32, 3), dtype=np.uint8)  # costs more than pictures
    write_page(tmp_path / "report.html", **inputs | {"gallery": inputs["gallery"]._replace(images=noise)})
    assert (tmp_path / "report.html").stat().st_size < 4e6


def test_a_missing_figure_is_an_error_and_leaves_no_page(inputs, undrawn, tmp_path):
    summary = copy.deepcopy(inputs["summary"])
    del summary["full"]["nll_after"]
    with pytest.raises(jinja2.UndefinedError):
        write_page(tmp_path / "report.html", **inputs | {"summary": summary})
    assert not (tmp_path / "report.html").exists()


def test_a_sprite_keeps_the_place_of_every_picture():
    images = smooth_images(np.random.default_rng(0), 5)
    url = sprite(images, columns=3)
    sheet = np.asarray(Image.open(BytesIO(b64decode(url.removeprefix("data:image/webp;base64,")))))
    assert sheet.shape == (2 * 32, 3 * 32, 3)
    np.testing.assert_allclose(sheet[32:, 32:64].astype(int), images[4], atol=8)  # the fifth: second line and column
    assert sheet[33:, 65:].max() <= 8


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


def test_the_explorer_takes_the_first_picture_of_each_class_that_is_right_under_what_counts(tmp_path):
    made_up_results.write_results(tmp_path, made_up_results.results(np.random.default_rng(0)))
    made_up_results.write_corrupted(tmp_path, np.random.default_rng(0))
    path = tmp_path / "results/corruption/full/logits.npy"
    logits = np.load(path)
    logits[0] = np.eye(3)[2]  # on clean images all are taken for the third class, so none of the others is right,
    logits[0, 7] = np.eye(3)[1]  # but the third image of the second class
    np.save(path, logits)
    explorer = load_explorer(tmp_path, "full")
    counted = ("gaussian_noise", "jpeg_compression")
    assert explorer.conditions == [("clean", 0), *((name, level) for name in counted for level in range(1, 6))]
    assert explorer.labels.tolist() == [0, 1, 2]
    images = np.load(tmp_path / "data/corrupted/images.npy")
    for picture, row in enumerate((0, 7, 2)):
        np.testing.assert_array_equal(explorer.images[picture], images[:11, row])
        np.testing.assert_array_equal(explorer.logits["full"][picture], logits[:11, row])


def test_the_probabilities_of_the_explorer_are_the_calibrated_ones(inputs, data):
    for variant, logits in inputs["explorer"].logits.items():
        packed = np.frombuffer(b64decode(data["explorer"]["probabilities"][variant]), "<u2").reshape(logits.shape)
        calibrated = tempered_softmax(logits.reshape(-1, logits.shape[-1]), TEMPERATURES[variant]).reshape(logits.shape)
        np.testing.assert_allclose(packed / 65535, calibrated, atol=0.5 / 65535 + 1e-9)


def test_the_charts_tell_the_figures_that_were_measured(inputs, data):
    summary, calibration = inputs["summary"], inputs["results"].calibration
    charts = {chart["title"]: {row["variant"]: row for row in chart["rows"]} for chart in data["results"]}
    for variant, scores in summary.items():
        clean = charts["Accuracy, clean images"][variant]
        assert (clean["value"], clean["low"]) == (
            scores["accuracy"],
            calibration[variant]["intervals"]["accuracy"]["low"],
        )
        error = charts["Calibration error, clean images"][variant]
        assert (error["before"], error["value"]) == (scores["ece_before"], scores["ece_after"])
        assert error["chance"] == calibration[variant]["after"]["null"]["ece"]["upper"]
        assert charts["Calibration error, corrupted images"][variant]["value"] == scores["corrupted_ece_after"]


def without_green_cones(colour):
    """How a #rrggbb looks with deuteranopia, in CIELAB. Machado et al. 2009, severity 1."""
    sees = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    channels = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    xyz = np.array(to_xyz) @ (np.array(sees) @ linear).clip(0, 1) / (0.9505, 1, 1.089)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_the_colours_of_the_variants_stay_apart_with_deuteranopia(page, theme):
    told = {variant: re.findall("#[0-9a-f]{6}", re.search(f"--{variant}: (.*?);", page)[1]) for variant in TEMPERATURES}
    seen = [without_green_cones(colours[min(theme, len(colours) - 1)]) for colours in told.values()]
    # A difference of 2.3 is just noticed side by side; that of #009e73 and #cc79a7, easily mistaken in a line, is 18.
    assert min(np.linalg.norm(one - other) for one, other in combinations(seen, 2)) > 25
