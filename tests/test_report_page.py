"""report.html in a real browser: without a network, every control, both themes, a phone and paper."""

import numpy as np
import pytest
import torch
from playwright.sync_api import sync_playwright

from study.drawing.heatmap_gallery import overlay
from study.evaluation.scores import ece
from study.evaluation.selective import risk_at_coverage
from study.evaluation.temperature import tempered_softmax
from tests.made_up_results import FIVE, SEVEN, TWO, params_of
from tests.reporting.test_page import BINS, CONDITIONS, TEMPERATURES, made_up_study, written

CLASSES = ["cat", "dog", "ship"]
PICTURES = 60
AT_ONCE = 24  # pictures that the gallery shows, and adds
TIMEOUT = 120_000  # ms, of the browser on a busy machine


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return made_up_study(tmp_path_factory.mktemp("study"), CLASSES, pictures=PICTURES)


@pytest.fixture(scope="module")
def address(study, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    written(study, path)
    return path.as_uri()


@pytest.fixture(scope="module")
def browser(browser_path):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, address):
    """Opens the page with a browser's settings. At the end, nothing was logged and nothing was asked for."""
    contexts, complaints, requests, visited = [], [], [], set()

    def opened(at=address, **settings):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | settings)
        context.set_default_timeout(TIMEOUT)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(at)
        visited.add(at)
        if settings.get("java_script_enabled", True):
            page.wait_for_selector("html[data-ready]", state="attached")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
    assert {url for url in requests if not url.startswith("data:")} == visited


@pytest.fixture
def page(open_page):
    return open_page()


def predicted(study, variant):
    return study.predictions[variant].logits.argmax(axis=1)


def shown(page):
    return int(page.inner_text("#gallery-count").split(" of ")[1].split()[0])


def slide(page, value, slider="#bins"):
    page.locator(slider).evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')) }", value
    )


def test_every_diagram_is_drawn(page):
    results, reliability, withheld, corruption, attacks, curves = 6, 8, 1, 2 + 2, 3, 2
    assert page.locator(".chart svg").count() == results + reliability + withheld + corruption + attacks + curves
    assert page.locator(".chart svg path").count() > 100
    assert all(label for label in page.locator(".chart").evaluate_all("all => all.map(one => one.ariaLabel)"))


def test_the_page_computes_the_ece_for_any_number_of_bins(page, study):
    for bins in (None, 2, 37):
        if bins:
            slide(page, bins)
        assert page.inner_text("#bins-shown") == str(bins or BINS)
        for variant, (logits, labels) in study.predictions.items():
            for scaling, temperature in (("before", 1), ("after", TEMPERATURES[variant])):
                told = float(page.inner_text(f"#ece-{variant}-{scaling} b"))
                assert told == pytest.approx(ece(tempered_softmax(logits, temperature), labels, bins or BINS), abs=1e-4)


def test_the_perfect_ece_is_what_labels_drawn_from_the_probabilities_show(page, study):
    probabilities = tempered_softmax(study.predictions["fc"].logits, TEMPERATURES["fc"])
    rng = np.random.default_rng(0)
    drawn = [
        ece(probabilities, (probabilities.cumsum(axis=1) < rng.random((len(probabilities), 1))).sum(axis=1), BINS)
        for _ in range(400)
    ]
    told = float(page.inner_text("#ece-fc-after .interval").split()[1])
    assert told == pytest.approx(np.mean(drawn), rel=0.05)


def test_the_slider_moves_by_keys_and_the_diagrams_follow(page):
    bars = page.locator("#reliability-fc-after .mark-rect path")
    before = bars.evaluate_all("all => all.map(one => one.getAttribute('d')).join()")
    page.focus("#bins")
    page.keyboard.press("Home")
    assert page.inner_text("#bins-shown") == "2"
    page.wait_for_function(
        "before => [...document.querySelectorAll('#reliability-fc-after .mark-rect path')]"
        ".map(one => one.getAttribute('d')).join() !== before",
        arg=before,
    )


def test_a_corruption_can_be_chosen(page, study):
    line = page.locator("#corruption-accuracy .mark-line path").first
    before = line.get_attribute("d")
    page.select_option("#corruption", "saturate")
    page.locator("details", has=page.locator("#corruption-table")).locator("summary").click()
    rows = page.locator("#corruption-table tbody tr").all_inner_texts()
    conditions = study.results.corruption
    chosen = (conditions["variant"] == "fc") & conditions["corruption"].isin(["clean", "saturate"])
    measured = conditions[chosen]["accuracy"]
    assert rows[0].split("\t")[1:] == [f"{100 * accuracy:.1f}\N{NO-BREAK SPACE}%" for accuracy in measured]
    assert page.inner_text("figcaption .corruption-shown >> nth=0") == "saturate"
    page.wait_for_function(
        "before => document.querySelector('#corruption-accuracy .mark-line path').getAttribute('d') !== before",
        arg=before,
    )


@pytest.mark.parametrize("chart", ["risk", "corruption-accuracy", "corruption-ece", "attack-pgd", "curve-seconds"])
def test_every_line_has_its_name_at_its_end_apart_from_the_others(page, chart):
    names = page.locator(f"#{chart} .mark-text.role-mark text").evaluate_all(
        "all => all.map(one => [one.textContent, one.getBoundingClientRect().top])"
    )
    assert {name for name, _ in names} == set(TEMPERATURES)
    tops = sorted(top for _, top in names)
    assert min(np.diff(tops)) > 10  # pixels


def test_the_explorer_tells_the_probabilities_of_the_picture_corruption_and_severity_chosen(page, study):
    explorer = study.explorer
    page.click("#explored button >> nth=2")
    page.select_option("#explored-corruption", "fog")
    for severity in (0, 4):
        slide(page, severity, "#explored-severity")
        condition = CONDITIONS.index(("fog", severity) if severity else ("clean", 0))
        measured = np.stack(
            [tempered_softmax(explorer.logits[v][2, [condition]], t)[0] for v, t in TEMPERATURES.items()]
        )
        told = page.locator("#explored-table tbody td").all_inner_texts()
        assert told == [f"{100 * share:.1f}\N{NO-BREAK SPACE}%" for share in measured.T.ravel()]
        right = [variant for variant, shares in zip(TEMPERATURES, measured, strict=True) if shares.argmax() == 2]
        assert page.inner_text("#explored-verdict") == (
            "All 4 are right." if len(right) == 4 else f"Right: {', '.join(right) or 'none of the 4'}."
        )
        read = "canvas => [...canvas.getContext('2d').getImageData(0, 0, 32, 32).data]"
        drawn = np.array(page.locator("#explored-picture canvas").nth(1).evaluate(read)).reshape(32, 32, 4)
        assert np.abs(drawn[..., :3] - explorer.images[2, condition].astype(int)).mean() < 4  # of 255: compressed
    assert page.locator("#explored button[aria-pressed='true']").all_inner_texts() == ["ship"]


def test_the_severity_moves_by_keys_and_says_what_it_is(page):
    page.focus("#explored-severity")
    page.keyboard.press("End")
    assert page.inner_text("#explored-shown") == "5"
    assert page.get_attribute("#explored-severity", "aria-valuetext") == "gaussian noise, severity 5"
    page.keyboard.press("Home")
    assert page.inner_text("#explored-shown") == "none"


def test_a_corruption_chosen_for_a_clean_picture_is_shown(page):
    slide(page, 0, "#explored-severity")
    page.select_option("#explored-corruption", "fog")
    assert page.inner_text("#explored-picture figcaption >> nth=1") == "fog, severity 3"


def test_the_errors_among_the_answers_are_those_of_the_share_chosen(page, study):
    for coverage in (5, 37, 100):
        slide(page, coverage, "#coverage")
        assert page.inner_text("#coverage-shown") == f"{coverage}\N{NO-BREAK SPACE}%"
        told = page.locator("#risk-table tbody td:nth-child(2)").all_inner_texts()
        for cell, (variant, (logits, labels)) in zip(told, study.predictions.items(), strict=True):
            confidence = tempered_softmax(logits, TEMPERATURES[variant]).max(axis=1)
            risk = risk_at_coverage(confidence, logits.argmax(axis=1) == labels, coverage / 100)
            assert cell.split("\n")[0] == f"{100 * risk:.2f}\N{NO-BREAK SPACE}%"


def test_the_confusion_matrix_counts_the_test_images_of_each_variant(page, study):
    for variant in TEMPERATURES:
        page.select_option("#matrix-variant", variant)
        labels, guesses = study.predictions[variant].labels, predicted(study, variant)
        counts = [[np.sum((labels == one) & (guesses == other)) for other in range(3)] for one in range(3)]
        cells = page.locator("#matrix button").all_inner_texts()
        assert [int(cell or 0) for cell in cells] == np.ravel(counts).tolist()


def test_a_cell_shows_the_pictures_behind_it(page, study):
    labels, guesses, index = (
        study.predictions["layer4"].labels,
        predicted(study, "layer4"),
        study.gallery.rows,
    )
    inside = (labels == 0) & (guesses == 2)
    page.click("#matrix [data-cell='0,2']")
    assert page.inner_text("#cell-title") == "cat taken for ship"
    assert page.inner_text("#cell-note").startswith(f"{inside.sum()} test images, {inside[index].sum()} of them")
    assert page.locator("#cell-tiles li").count() == min(12, inside[index].sum())


def test_the_matrix_is_walked_with_arrows_and_chosen_with_enter(page):
    page.click("#matrix [data-cell='0,0']")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")  # at the edge: stays
    assert page.inner_text("#cell-title") == "cat, right"
    page.keyboard.press("Enter")
    assert page.inner_text("#cell-title") == "dog taken for ship"
    assert page.evaluate("document.activeElement.dataset.cell") == "1,2"
    assert page.locator("#matrix button[tabindex='0']").count() == 1


def test_every_reliability_diagram_is_as_wide_as_the_others(page):
    widths = page.evaluate("[...document.querySelectorAll('#reliability svg')].map((svg) => svg.clientWidth)")
    assert len(widths) == 8
    assert max(widths) - min(widths) <= 1 and min(widths) > 100


def test_a_crowded_cell_leads_to_the_gallery(page, study):
    labels, guesses, index = study.predictions["full"].labels, predicted(study, "full"), study.gallery.rows
    right = labels[index][labels[index] == guesses[index]]
    pictures = np.bincount(right, minlength=3)
    label = int(pictures.argmax())
    page.select_option("#matrix-variant", "full")
    page.click(f"#matrix [data-cell='{label},{label}']")
    page.click("#cell-more")
    chosen = [page.input_value(f"#by-{name}") for name in ("variant", "actual", "predicted")]
    assert chosen == ["full", str(label), str(label)]
    assert shown(page) == pictures[label]


def test_the_filters_keep_the_pictures_that_match(page, study):
    index = study.gallery.rows
    logits, labels = study.predictions["fc"]
    actual, guess = labels[index], predicted(study, "fc")[index]
    confidence = tempered_softmax(logits[index], TEMPERATURES["fc"]).max(axis=1)
    assert shown(page) == PICTURES
    page.select_option("#by-variant", "fc")
    page.select_option("#by-actual", "1")
    assert shown(page) == np.sum(actual == 1)
    page.select_option("#by-outcome", "wrong")
    assert shown(page) == np.sum((actual == 1) & (guess != 1))
    page.select_option("#by-actual", "")
    page.select_option("#by-predicted", "2")
    assert shown(page) == np.sum((guess == 2) & (actual != 2))
    page.select_option("#by-outcome", "right")
    page.fill("#by-least", "60")
    page.fill("#by-most", "90")
    page.keyboard.press("Tab")
    kept = (guess == 2) & (actual == 2) & (confidence >= 0.6) & (confidence <= 0.9)
    assert shown(page) == kept.sum() > 0
    page.fill("#by-most", "1")
    page.keyboard.press("Tab")
    assert page.inner_text("#gallery-count") == "No picture of this page matches. Loosen a filter."
    page.click("text=Show all")
    page.wait_for_function("document.querySelectorAll('#tiles > li').length > 0")
    assert shown(page) == PICTURES


def test_two_variants_can_be_compared_on_the_pictures_where_only_one_is_right(page, study):
    index, labels = study.gallery.rows, study.predictions["full"].labels
    right = {variant: predicted(study, variant) == labels for variant in ("full", "scratch")}
    page.select_option("#by-variant", "full")
    page.select_option("#by-second", "scratch")
    assert shown(page) == PICTURES
    page.select_option("#by-outcome", "one")
    assert shown(page) == (right["full"] != right["scratch"])[index].sum() > 0
    only = [np.sum(right[one] & ~right[other]) for one, other in (("full", "scratch"), ("scratch", "full"))]
    assert f"only full is right on {only[0]}, only scratch on {only[1]}." in page.inner_text("#gallery-count")
    for verdicts in page.locator("#tiles > li").all()[:5]:
        first, second = verdicts.locator("p").all_inner_texts()
        assert first.startswith("full: ") and second.startswith("scratch: ")
        assert first.endswith("right") != second.endswith("right")


def test_asking_for_only_one_alone_chooses_a_second_variant(page):
    page.select_option("#by-outcome", "one")
    assert page.input_value("#by-second") not in ("", page.input_value("#by-variant"))
    page.select_option("#by-outcome", "right")
    page.select_option("#by-second", page.input_value("#by-variant"))
    assert page.input_value("#by-second") == ""  # a variant beside itself says nothing


def test_the_pictures_come_in_the_order_chosen(page, study):
    index = study.gallery.rows
    logits = study.predictions["layer4"].logits[index]
    confidence = tempered_softmax(logits, TEMPERATURES["layer4"]).max(axis=1)
    first = page.locator("#tiles li canvas").first
    for order, row in (
        ("most", index[confidence.argmax()]),
        ("least", index[confidence.argmin()]),
        ("index", index[0]),
    ):
        page.select_option("#by-order", order)
        assert first.get_attribute("aria-label").startswith(f"test image {row},")


def test_more_pictures_come_when_asked_for(page):
    assert page.locator("#tiles > li").count() == AT_ONCE
    page.click("#more")
    assert page.locator("#tiles > li").count() == 2 * AT_ONCE
    assert page.evaluate("[...document.querySelectorAll('#tiles button')].indexOf(document.activeElement)") == AT_ONCE
    page.click("#more")
    assert page.locator("#tiles > li").count() == PICTURES
    assert not page.is_visible("#more")


def test_a_picture_and_its_cam_are_drawn_pixel_by_pixel(page, study):
    read = """canvas => [...canvas.getContext('2d').getImageData(0, 0, 32, 32).data]"""
    picture, cam = (
        np.array(page.locator("#tiles li canvas").nth(place).evaluate(read)).reshape(32, 32, 4)[..., :3]
        for place in (0, 1)
    )
    image = study.gallery.images[0]
    np.testing.assert_allclose(picture, image.astype(int), atol=16)  # of 255: compressed
    heat = torch.nn.functional.interpolate(
        torch.from_numpy(study.gallery.maps[:1, None].astype(np.float32)), size=(32, 32), mode="bilinear"
    )[0, 0].numpy()
    shaded = overlay(picture.astype(np.uint8), heat / heat.max())
    np.testing.assert_allclose(cam, shaded.astype(int), atol=4)  # of 255: packed in 8 bits


def test_a_picture_opens_with_every_probability_and_closes_by_escape(page, study):
    page.focus("#tiles button >> nth=2")
    page.keyboard.press("Enter")
    row = study.gallery.rows[2]
    assert page.inner_text("#picture-title").startswith(f"Test image {row}: ")
    told = page.locator("#picture tbody td").all_inner_texts()
    measured = [tempered_softmax(study.predictions[v].logits[row], t) for v, t in TEMPERATURES.items()]
    assert told == [f"{100 * share:.1f}\N{NO-BREAK SPACE}%" for share in np.stack(measured, axis=1).ravel()]
    page.keyboard.press("Escape")
    assert not page.is_visible("#picture")
    assert page.evaluate("[...document.querySelectorAll('#tiles button')].indexOf(document.activeElement)") == 2


@pytest.mark.parametrize("names", [TWO, FIVE, SEVEN], ids=len)
def test_a_page_of_more_or_fewer_variants_shows_each_at_every_width(open_page, tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("page")
    written(made_up_study(folder, CLASSES, params=params_of(names)), folder / "report.html")
    page = open_page((folder / "report.html").as_uri())
    reliability = page.locator("#reliability svg")
    assert reliability.count() == 2 * len(names)
    tops = reliability.evaluate_all("all => all.map(one => Math.round(one.getBoundingClientRect().top))")
    assert len(set(tops)) == 2 * -(-len(names) // 4)  # before and after, of at most four side by side
    for chart in ("risk", "corruption-accuracy", "attack-pgd", "curve-epochs", "every-accuracy"):
        told = page.locator(f"#{chart} svg text").all_text_contents()
        assert set(names) <= set(told)
    marks = page.locator("#every-accuracy .role-legend-symbol path")
    looks = marks.evaluate_all("all => all.map(one => [getComputedStyle(one).fill, one.getAttribute('d')].join())")
    assert len(set(looks)) == len(names)
    colours = page.locator("#explored-table tbody tr:first-child .bar").evaluate_all(
        "all => all.map(one => getComputedStyle(one).backgroundImage.match(/rgb\\(.*?\\)/)[0])"
    )
    assert len(set(colours)) == len(names)
    verdict = page.inner_text("#explored-verdict")
    assert verdict == f"All {len(names)} are right." or verdict.startswith("Right: ")
    page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true })")
    for width in (768, 390):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_function("width => document.documentElement.scrollWidth === width", arg=width)
    pairs = [reliability.nth(place).bounding_box() for place in range(2)]
    assert abs(pairs[0]["y"] - pairs[1]["y"]) <= 1  # before beside after on a phone


@pytest.mark.parametrize(("scheme", "other"), [("light", "dark"), ("dark", "light")])
def test_the_theme_follows_the_system_and_its_button(open_page, scheme, other):
    page = open_page(color_scheme=scheme)
    colour = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('.chart .role-axis-title text')).fill"
    paper = {"light": "rgb(253, 253, 252)", "dark": "rgb(21, 23, 26)"}
    inks = {"light": "rgb(27, 29, 31)", "dark": "rgb(226, 226, 222)"}
    assert (page.evaluate(colour), page.evaluate(ink)) == (paper[scheme], inks[scheme])
    assert page.inner_text("#theme") == f"{other.capitalize()} theme"
    page.click("#theme")
    assert (page.evaluate(colour), page.evaluate(ink)) == (paper[other], inks[other])
    assert page.inner_text("#theme") == f"{scheme.capitalize()} theme"


def test_nothing_is_wider_than_a_small_screen(page):
    page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true })")
    for width in (768, 390, 360):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_function(
            "width => document.documentElement.scrollWidth === width", arg=width
        )  # the diagrams follow a frame later


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_what_does_not_fit_says_that_it_scrolls(open_page, width, scheme):
    page = open_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true })")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    cut = page.evaluate(
        """[...document.querySelectorAll("main *, nav *")].filter((one) => {
          const style = getComputedStyle(one);
          const cuts = style.overflowX !== "visible" && style.textOverflow !== "ellipsis";
          return cuts && one.clientWidth > 1 && one.scrollWidth > one.clientWidth + 1;
        }).map((one) => [
          one.matches(".scrolls.more-right") && getComputedStyle(one).maskImage !== "none",
          one.matches(".scroll") ? getComputedStyle(one, "::before").content : "scrolls sideways",
          one.outerHTML.slice(0, 80),
        ])"""
    )
    assert [name for faded, hint, name in cut if not (faded and "scrolls sideways" in hint)] == []
    assert len(cut) >= (3 if width == 390 else 0)
    if width == 390:
        tables = page.locator(".scroll.scrolls")
        tables.first.evaluate("one => { one.scrollLeft = one.scrollWidth }")
        page.wait_for_function("!document.querySelector('.scroll.scrolls').classList.contains('more-right')")
        assert tables.first.evaluate("one => one.classList.contains('more-left')")


def test_paper_is_white_without_controls_and_with_every_table(open_page):
    page = open_page(color_scheme="dark")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).color") == "rgb(27, 29, 31)"
    assert not any(page.is_visible(name) for name in ("nav", "#bins", "#filters", "#more"))
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0


def test_every_stop_of_the_tab_key_shows_its_focus(page):
    stops = []
    for _ in range(80):
        page.keyboard.press("Tab")
        stops.append(
            page.evaluate(
                "(([one]) => [one.id || one.textContent.trim(), getComputedStyle(one).outlineStyle])"
                "([document.activeElement])"
            )
        )
    names = [name for name, _ in stops]
    assert names[0] == "Skip to the results"
    assert {
        "theme",
        "explored-corruption",
        "explored-severity",
        "coverage",
        "bins",
        "corruption",
        "matrix-variant",
        "by-variant",
        "by-least",
    } <= set(names)
    assert {style for _, style in stops} <= {"solid", "auto"}


def test_without_javascript_the_tables_are_there(open_page):
    page = open_page(java_script_enabled=False)
    assert page.is_visible("noscript p")
    assert page.is_visible("text=fc to layer4")
    assert not any(page.is_visible(name) for name in ("#bins", "#theme", "#explorer", "#withheld"))
