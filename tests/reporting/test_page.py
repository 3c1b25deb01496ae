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
from study.pipeline.variants import variants
from study.reporting.figures import COLOURS, COLOURS_ON_DARK
from study.reporting.page import write_page
from study.reporting.page_data import Explorer, Gallery, Study, load_explorer, load_gallery, pack, sprite
from study.reporting.plots import draw_figures
from study.reporting.results import load_results
from study.reporting.summary import measurements
from tests import made_up_results
from tests.made_up_results import FACTS, FIVE, PARAMS, SEVEN, TWO, params_of

CLASSES = ["cat", "dog", "</script><b>ship & boat"]
IMAGES = 300
PICTURES = 60
TEMPERATURES = {"fc": 0.9, "layer4": 1.5, "full": 1.2, "scratch": 1.1}
OTHERS = {"layer3": 1.3, "layer2": 0.8, "bn": 1.4}  # of variants that a person adds
CONDITIONS = [("clean", 0), *((name, level) for name in ("gaussian_noise", "fog") for level in range(1, 6))]
BINS = made_up_results.PARAMS["calibrate"]["bins"]


def made_up_study(root, classes=CLASSES, images=IMAGES, pictures=PICTURES, params=PARAMS):
    """A study whose every figure is made up. root: an empty folder to work in."""
    rng = np.random.default_rng(0)
    names = variants(params)
    content = made_up_results.results(rng, params)
    for variant in names:
        content[f"calibration/{variant}/metrics.json"]["temperature"] = (TEMPERATURES | OTHERS)[variant]
    made_up_results.write_results(root, content)
    results, facts = load_results(root, names), FACTS._replace(classes=classes)
    labels = rng.integers(0, len(classes), images)
    hints = 2 * np.eye(len(classes))[labels]
    explored = np.arange(len(classes))
    return Study(
        params=params,
        facts=facts,
        results=results,
        measured=measurements(results, params["freeze"], facts),
        test_images=rng.integers(0, 256, (images, 32, 32, 3), dtype=np.uint8),
        predictions={
            variant: Predictions((hints + rng.normal(0, 1.5, hints.shape)).astype(np.float32), labels)
            for variant in names
        },
        gallery=Gallery(
            np.sort(rng.choice(images, pictures, replace=False)),
            smooth_images(rng, pictures),
            rng.random((pictures, 4, 4)).astype(np.float16),
        ),
        explorer=Explorer(
            CONDITIONS,
            explored,
            np.stack([smooth_images(rng, len(CONDITIONS)) for _ in explored]),
            {
                variant: rng.normal(0, 2, (len(explored), len(CONDITIONS), len(classes))).astype(np.float32)
                for variant in names
            },
        ),
    )


def written(study, path):
    """The page of the study."""
    write_page(path, study, draw_figures(study, {}))
    return path.read_text(encoding="utf-8")


def data_of(page):
    """What it carries for its script."""
    (text,) = [text for _, attributes, text in Reader(page).raw if attributes.get("id") == "data"]
    return json.loads(text)


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
def study(tmp_path_factory):
    return made_up_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def page(study, tmp_path_factory):
    return written(study, tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(scope="module")
def reader(page):
    return Reader(page)


@pytest.fixture(scope="module")
def data(page):
    return data_of(page)


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


def test_the_tables_tell_the_figures_that_were_measured(study, page):
    for variant in TEMPERATURES:
        scores = study.measured["summary"][variant]
        bounds = study.results.comparison["shift"][variant]["corrupted"]["accuracy"]
        interval = f'<span class="interval">{100 * bounds["low"]:.2f} to {100 * bounds["high"]:.2f}</span>'
        assert f"<td>{scores['ece_before']:.4f}</td>" in page
        assert f"<td>{100 * scores['corrupted_accuracy']:.2f}\N{NO-BREAK SPACE}%{interval}</td>" in page
    for pair in study.results.comparison["pairs"]:
        assert f"<td>{pair['mcnemar']['only_first']:,} : {pair['mcnemar']['only_second']}</td>" in page
        assert f"<td>{pair['mcnemar']['p_holm']:.4f}</td>" in page
    for accuracy in study.results.adversarial["accuracy"]:
        assert f"<td>{100 * accuracy:.2f}\N{NO-BREAK SPACE}%<" in page
    assert '<code>calibrate.resamples</code></th><td class="wrap">321</td>' in page


def test_it_opens_with_three_findings(page, study):
    findings = page.split('<ol class="findings">')[1].split("</ol>")[0].split("<li>")[1:]
    accuracy = {variant: study.measured["summary"][variant]["accuracy"] for variant in TEMPERATURES}
    first, second, *_ = sorted(accuracy, key=accuracy.get, reverse=True)
    leader, scaling, corruption = (finding.replace("\N{NO-BREAK SPACE}", " ") for finding in findings)
    assert f"<code>{first}</code> is the most accurate: {100 * accuracy[first]:.2f} %" in leader
    assert f"against {100 * accuracy[second]:.2f} % for <code>{second}</code>" in leader
    (pair,) = (of for of in study.results.comparison["pairs"] if {of["first"], of["second"]} == {first, second})
    assert ("may be chance" in leader) == (pair["mcnemar"]["p_holm"] >= 0.05)
    published = study.measured["summary"]["layer4"]
    assert f"from {published['ece_before']:.4f} to {published['ece_after']:.4f}" in scaling
    for measure in ("corrupted_accuracy", "accuracy"):
        assert f"{100 * published[measure]:.2f} %" in corruption


@pytest.mark.parametrize(
    ("name", "weights", "line"),
    [
        ("efficientnet_lite0", "imagenet", "An EfficientNet-Lite0 trained on ImageNet and published by Google was"),
        ("timm/convnext_atto", "imagenet", "A convnext_atto with the weights that timm has for it was fine-tuned"),
        ("resnet18", "imagenet", "A ResNet-18 trained on ImageNet by Microsoft and bundled with this project was"),
        ("resnet18", "torchvision", "A ResNet-18 trained on ImageNet and published by torchvision was fine-tuned"),
        ("resnet18", "file", "A ResNet-18 with the user's own weights was fine-tuned"),
        ("resnet18", "none", "A ResNet-18 with random weights was fine-tuned"),
    ],
)
def test_the_abstract_says_what_was_fine_tuned(study, undrawn, tmp_path, name, weights, line):
    params = copy.deepcopy(study.params)
    params["backbone"] |= {"name": name, "weights": weights}
    page = written(study._replace(params=params), tmp_path / "report.html")
    assert f'<p class="abstract">{line}' in page.replace("&#39;", "'")


def test_a_check_that_few_images_failed_says_that_they_are_too_few(study, undrawn, tmp_path):
    said = {}
    for images in (20, 100):
        params = copy.deepcopy(study.params)
        params["adversarial"]["images"] = images
        page = written(study._replace(params=params), tmp_path / "page.html")
        said[images] = page.count("too few images to tell")
    assert said[20] > said[100]


def test_a_tiny_p_value_is_told_as_a_bound(study, undrawn, tmp_path):
    results = copy.deepcopy(study.results)
    results.comparison["pairs"][0]["mcnemar"]["p_holm"] = 3e-9
    assert "<td>&lt; 0.0001</td>" in written(study._replace(results=results), tmp_path / "report.html")


def test_a_class_may_have_any_name(reader, data):
    scripts = [attributes.get("id") for tag, attributes in reader.tags if tag == "script"]
    assert scripts == ["data", None, None]
    assert data["classes"] == CLASSES
    assert ("b", {}) not in reader.tags
    assert CLASSES[2] in "".join(reader.text)


def test_the_confidences_give_the_ece_of_the_tables(study, data):
    labels = np.frombuffer(b64decode(data["predictions"]["labels"]), "<u1")
    for variant, (logits, truth) in study.predictions.items():
        packed = data["predictions"]["of"][variant]
        right = np.frombuffer(b64decode(packed["predicted"]), "<u1") == labels
        confidence = np.frombuffer(b64decode(packed["after"]), "<f4").astype(np.float64)
        # A class per image, right or wrong, whose confidence is that of the prediction: the same bins, the same ECE.
        of_two = np.stack([confidence, np.zeros_like(confidence)], axis=1)
        assert ece(of_two, np.where(right, 0, 1), BINS) == pytest.approx(
            ece(tempered_softmax(logits, TEMPERATURES[variant]), truth, BINS), abs=1e-6
        )


def test_the_probabilities_of_the_pictures_are_the_calibrated_ones(study, data):
    logits = study.predictions["full"].logits[study.gallery.rows]
    packed = np.frombuffer(b64decode(data["gallery"]["probabilities"]["full"]), "<u2").reshape(logits.shape)
    np.testing.assert_allclose(packed / 65535, tempered_softmax(logits, TEMPERATURES["full"]), atol=0.5 / 65535 + 1e-9)


def test_a_map_that_is_zero_everywhere_stays_so(study, undrawn, tmp_path):
    maps = study.gallery.maps.copy()
    maps[3] = 0
    gallery = study.gallery._replace(maps=maps)
    data = data_of(written(study._replace(gallery=gallery), tmp_path / "report.html"))
    packed = np.frombuffer(b64decode(data["gallery"]["maps"]), "<u1").reshape(PICTURES, 16)
    assert packed[3].tolist() == [0] * 16
    assert np.delete(packed, 3, axis=0).max(axis=1).tolist() == [255] * (PICTURES - 1)


def test_the_same_inputs_give_the_same_bytes(study, page, tmp_path):
    assert written(study, tmp_path / "report.html") == page


def test_a_study_of_full_size_stays_under_four_megabytes(tmp_path):
    classes = [f"class number {label}" for label in range(10)]
    study = made_up_study(tmp_path, classes, images=10_000, pictures=900)
    noise = np.random.default_rng(0).integers(0, 256, (900, 32, 32, 3), dtype=np.uint8)  # costs more than pictures
    written(study._replace(gallery=study.gallery._replace(images=noise)), tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 4e6


def test_a_missing_figure_is_an_error_and_leaves_no_page(study, undrawn, tmp_path):
    measured = copy.deepcopy(study.measured)
    del measured["summary"]["full"]["nll_after"]
    with pytest.raises(jinja2.UndefinedError):
        written(study._replace(measured=measured), tmp_path / "report.html")
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
    explorer = load_explorer(tmp_path, made_up_results.VARIANTS, "full")
    counted = ("gaussian_noise", "jpeg_compression")
    assert explorer.conditions == [("clean", 0), *((name, level) for name in counted for level in range(1, 6))]
    assert explorer.labels.tolist() == [0, 1, 2]
    images = np.load(tmp_path / "data/corrupted/images.npy")
    for picture, row in enumerate((0, 7, 2)):
        np.testing.assert_array_equal(explorer.images[picture], images[:11, row])
        np.testing.assert_array_equal(explorer.logits["full"][picture], logits[:11, row])


def test_the_probabilities_of_the_explorer_are_the_calibrated_ones(study, data):
    for variant, logits in study.explorer.logits.items():
        packed = np.frombuffer(b64decode(data["explorer"]["probabilities"][variant]), "<u2").reshape(logits.shape)
        calibrated = tempered_softmax(logits.reshape(-1, logits.shape[-1]), TEMPERATURES[variant]).reshape(logits.shape)
        np.testing.assert_allclose(packed / 65535, calibrated, atol=0.5 / 65535 + 1e-9)


def test_the_charts_tell_the_figures_that_were_measured(study, data):
    summary, calibration = study.measured["summary"], study.results.calibration
    charts = {chart["title"]: {row["variant"]: row for row in chart["rows"]} for chart in data["results"]}
    for variant in TEMPERATURES:
        scores = summary[variant]
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


@pytest.mark.parametrize("colours", [COLOURS, COLOURS_ON_DARK], ids=["light", "dark"])
def test_the_colours_of_the_series_stay_apart_with_deuteranopia(colours):
    seen = [without_green_cones(colour) for colour in colours]
    # A difference of 2.3 is just noticed side by side; that of #009e73 and #cc79a7, easily mistaken in a line, is 18.
    assert min(np.linalg.norm(one - other) for one, other in combinations(seen, 2)) > 25


def test_the_page_has_the_colours_of_the_figures(page, data):
    for place, (light, dark) in enumerate(zip(COLOURS, COLOURS_ON_DARK, strict=True)):
        assert f"--series-{place}: light-dark({light.lower()}, {dark.lower()});" in page
    assert data["colours"] == len(COLOURS)


@pytest.mark.parametrize("names", [TWO, FIVE, SEVEN])
def test_every_variant_of_the_parameters_is_in_every_table_and_every_chart(tmp_path, undrawn, names):
    page = written(made_up_study(tmp_path, params=params_of(names)), tmp_path / "report.html")
    reader, data = Reader(page), data_of(page)
    assert data["variants"] == list(names)
    assert all([row["variant"] for row in chart["rows"]] == list(names) for chart in data["results"])
    for rows in (data["robustness"], data["curves"], data["adversarial"]):
        assert list(dict.fromkeys(row["variant"] for row in rows)) == list(names)
    for packed in (data["predictions"]["of"], data["gallery"]["probabilities"], data["explorer"]["probabilities"]):
        assert list(packed) == list(names)
    ids = {attributes.get("id") for _, attributes in reader.tags}
    assert {f"reliability-{name}-{side}" for name in names for side in ("before", "after")} < ids
    heads = re.findall(r"<thead>(.*?)</thead>", page, flags=re.DOTALL)
    of_variants = [re.findall(r"<code>(\w+)</code>", head) for head in heads if "<code>fc</code>" in head]
    assert len(of_variants) == 5
    assert all(list(dict.fromkeys(head)) == list(names) for head in of_variants)
    abstract = page.split('<p class="abstract">')[1].split("</p>")[0]
    assert re.findall(r"\(<code>(\w+)</code>\)", abstract) == list(names)
    assert ("light network" in abstract) == ("scratch" in names)


def test_seconds_of_the_frozen_pass_are_those_of_the_variants_that_took_its_features(tmp_path, undrawn):
    study = made_up_study(tmp_path, params=params_of(FIVE))
    shared = data_of(written(study, tmp_path / "report.html"))["shared_seconds"]
    seconds = study.results.training["features"]["seconds"]
    assert shared == {"fc": seconds, "layer4": seconds, "layer3": 0, "full": seconds, "scratch": 0}


def test_what_each_variant_learns_from_and_starts_with_is_said(tmp_path, undrawn):
    page = written(made_up_study(tmp_path, params=params_of(FIVE)), tmp_path / "report.html")
    rows = {
        name: re.findall("<td.*?>(.*?)</td>", cells)
        for name, cells in re.findall(r'<tr><th scope="row">(what learns|learns from|starts with)</th>(.*?)</tr>', page)
    }
    anew = "images augmented anew"
    assert rows == {
        "what learns": ["head", "last block and head", "layer3 to head", "everything", "a light network"],
        "learns from": ["2 cached views", anew, anew, anew, anew],
        "starts with": ["a random head", "a trained head", "a random head", "a trained head", "random weights"],
    }
