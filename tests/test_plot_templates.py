"""The diagrams of `dvc plots show` and `dvc plots diff`, drawn with Vega from the templates in .dvc/plots."""

import json
import re
from itertools import product
from pathlib import Path
from xml.etree import ElementTree

import pytest
import vl_convert
from dvc_render.vega import VegaRenderer

from study.pipeline.params import read_params
from study.reporting.figures import COLOURS, MARKERS
from study.reporting.formats import TEMPLATES

ROOT = Path(__file__).parents[1]
CLASSES = ["9", "10", "ant"]  # an order that is neither of numbers nor of the alphabet


def declared(name):
    """How dvc.yaml wants plots/report/{name}.csv drawn."""
    path = f"plots/report/{name}.csv"
    return next(plot[path] for plot in read_params(ROOT / "dvc.yaml")["plots"] if path in plot)


def draw(name, rows):
    """The texts of the diagram as (x, y, text), in pixels from the top left."""
    rows = [{key: str(value) for key, value in row.items()} for row in rows]  # as DVC reads CSV
    renderer = VegaRenderer(rows, name, template_dir=ROOT / ".dvc/plots", **declared(name))
    spec = renderer.get_filled_template()
    assert "<DVC" not in str(spec)
    svg = ElementTree.fromstring(vl_convert.vegalite_to_svg(spec, vl_version="5.8"))
    return list(texts(svg, 0, 0))


def texts(node, x, y):
    moved = re.match(r"translate\(([-\d.]+),\s*([-\d.]+)\)", node.get("transform", ""))
    if moved:
        x, y = x + float(moved[1]), y + float(moved[2])
    if node.tag.endswith("}text"):
        yield x, y, "".join(node.itertext())
    for child in node:
        yield from texts(child, x, y)


def panels_of(found, headings):
    """The texts below each heading, from the top: those that no other heading is nearer to, sideways and then up."""
    places = {text: (x, y) for x, y, text in found if text in headings}
    assert len(places) == len(headings)
    panels = {heading: [] for heading in headings}
    for x, y, text in sorted(found, key=lambda it: it[1]):
        above = [heading for heading in headings if places[heading][1] < y]
        if above:
            nearest = min(above, key=lambda it: (round(abs(places[it][0] - x)), y - places[it][1]))
            panels[nearest].append(text)
    return panels


def order(found, headings):
    """The headings as they are read: in lines from the top, and from the left in each."""
    places = sorted((round(y), x, text) for x, y, text in found if text in headings)
    return [text for _, _, text in places]


def bins(rev, variant, calibration, gap, images):
    """A full, a rare and an empty bin. The ECE is |gap|."""
    row = {"rev": rev, "variant": variant, "calibration": calibration}
    return [
        row | {"bin_lower": 0, "bin_upper": 0.4, "confidence": "", "accuracy": "", "count": 0},
        row | {"bin_lower": 0.4, "bin_upper": 0.8, "confidence": 0.7, "accuracy": 0.7 - gap, "count": 1},
        row | {"bin_lower": 0.8, "bin_upper": 1, "confidence": 0.9, "accuracy": 0.9 - gap, "count": images - 1},
    ]


ONE, TWO, THREE = ("workspace",), ("workspace", "HEAD"), ("workspace", "HEAD", "quick-run")
SCENES = [
    pytest.param(ONE, ("fc", "layer4", "full", "scratch"), id="one revision"),
    pytest.param(ONE, ("fc", "full"), id="one revision, a variant missing"),
    pytest.param(TWO, ("fc", "layer4", "full", "scratch"), id="two revisions"),
    pytest.param(ONE, ("fc", "layer4", "layer3", "full", "scratch"), id="five variants"),
    pytest.param(ONE, ("fc", "layer4", "layer3", "layer2", "layer1", "full", "scratch"), id="seven variants"),
    pytest.param(THREE, ("full",), id="three revisions, two variants missing"),
]


@pytest.mark.parametrize(("revisions", "variants"), SCENES)
def test_each_reliability_panel_shows_the_ece_of_its_own_rows(revisions, variants):
    panels = list(product(variants, revisions, ("before", "after")))
    gaps = {panel: (-1) ** index * (index + 1) / 200 for index, panel in enumerate(panels)}
    sizes = {panel: 1000 + index for index, panel in enumerate(panels)}
    by_revision = sorted(panels, key=lambda panel: revisions.index(panel[1]))
    rows = [row for v, r, c in by_revision for row in bins(r, v, c, gaps[v, r, c], sizes[v, r, c])]
    found = draw("reliability", rows)
    headings = [f"{variant}, {calibration} scaling ({revision})" for variant, revision, calibration in panels]
    assert order(found, headings) == headings
    for heading, panel in zip(headings, panels, strict=True):
        assert panels_of(found, headings)[heading][0] == f"ECE {abs(gaps[panel]):.4f} over {sizes[panel]:,} images"


def test_a_reliability_panel_counts_the_images_of_every_bin_that_has_any():
    found = draw("reliability", bins("workspace", "fc", "before", 0.1, 2000))
    assert {"1", "1,999"} < {text for _, _, text in found}


@pytest.mark.parametrize(("revisions", "variants"), SCENES)
def test_each_confusion_matrix_shows_the_shares_of_its_own_rows(revisions, variants):
    panels = list(product(variants, revisions))
    rows, diagonal = [], {}
    for index, (revision, variant) in enumerate(product(revisions, variants)):
        diagonal[variant, revision] = share = 0.9 - index / 100
        for place, actual in enumerate(CLASSES):
            for predicted in CLASSES:
                here = share if predicted == actual else 1 - share if predicted == CLASSES[place - 1] else 0
                row = {"rev": revision, "variant": variant, "actual": actual, "predicted": predicted}
                rows.append(row | {"count": round(100 * here), "share": here})
    found = draw("confusion", rows)
    headings = [f"{variant} ({revision})" for variant, revision in panels]
    assert order(found, headings) == headings
    for heading, panel in zip(headings, panels, strict=True):
        cells = [text for text in panels_of(found, headings)[heading] if re.fullmatch(r"\d+\.\d", text)]
        right, wrong = f"{100 * diagonal[panel]:.1f}", f"{100 - 100 * diagonal[panel]:.1f}"
        assert sorted(cells) == sorted(3 * [right] + 3 * [wrong])


def test_the_classes_of_a_confusion_matrix_keep_their_order():
    rows = [
        {"rev": "workspace", "variant": "fc", "actual": actual, "predicted": predicted, "count": 1, "share": 1 / 3}
        for actual in CLASSES
        for predicted in CLASSES
    ]
    found = [(x, y, text) for x, y, text in draw("confusion", rows) if text in CLASSES]
    assert [text for _, _, text in sorted(found, key=lambda it: it[1])[:3]] == CLASSES
    assert [text for _, _, text in sorted(found)[-3:]] == CLASSES


@pytest.mark.parametrize(("revisions", "variants"), SCENES)
def test_the_learning_curves_have_a_panel_per_variant_and_name_every_revision(revisions, variants):
    measured = {"lr": 0.1, "train_loss": 1, "val_loss": 1, "seconds": 1}
    rows = [
        {"rev": rev, "variant": variant, "phase": phase, "epoch": epoch, "val_accuracy": epoch / 10} | measured
        for rev, variant, (epoch, phase) in product(revisions, variants, [(1, "head"), (2, "full")])
    ]
    found = draw("learning_curves", rows)
    assert order(found, variants) == list(variants)
    assert {*revisions, "head", "all that learns"} < {text for _, _, text in found}


@pytest.mark.parametrize(("revisions", "variants"), SCENES)
def test_the_corruption_curves_have_a_panel_per_corruption_and_name_variants_and_revisions(revisions, variants):
    rows = [
        {"rev": rev, "variant": variant, "corruption": corruption, "severity": severity, "images": 50}
        | {"accuracy": 1 - severity / 10, "ece_before": 0.1, "ece_after": 0.05}
        for rev, variant, corruption, severity in product(revisions, variants, ("mean", "fog", "jpeg_a"), (0, 1))
    ]
    found = draw("corruption", rows)
    headings = ["mean", "fog", "jpeg a"]
    assert order(found, headings) == headings
    assert {*revisions, *variants, "clean"} < {text for _, _, text in found}


@pytest.mark.parametrize("name", ["corruption", "learning_curves"])
def test_the_series_have_the_colours_and_markers_of_the_figures(name):
    spec = json.loads((ROOT / f".dvc/plots/{name}.json").read_text())["spec"]
    assert spec["encoding"]["color"]["scale"] == {"range": list(COLOURS)}
    shapes = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right")
    if name == "corruption":
        assert spec["layer"][1]["encoding"]["shape"]["scale"] == {"range": list(shapes)}
    assert dict(zip("os^DvP>", shapes, strict=True)).keys() == set(MARKERS)
    assert f"SHAPES = {json.dumps(shapes)}" in (TEMPLATES / "report_diagrams.js").read_text()
