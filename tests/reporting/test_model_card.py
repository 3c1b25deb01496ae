import copy
import re
from itertools import groupby

import jinja2
import numpy as np
import pandas as pd
import pytest

from study.evaluation.robustness import adapted_changes, robustness
from study.pipeline.params import read_yaml
from study.pipeline.variants import variants
from study.reporting.formats import TEMPLATES, fixed, percent, points, seconds, setting, signed
from study.reporting.model_card import render_card
from study.reporting.published import TOP_1, TOP_5, published_accuracies
from study.reporting.summary import headlines, mean_auroc, under_corruption
from tests.made_up_results import FACTS, FIVE, PARAMS, SEVEN, TWO, VARIANTS, params_of, results

NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?")
NAMES = re.compile(
    r"CIFAR-10-C|CIFAR-10|cifar10|PreActResNet-18|WRN-28-10|ResNet-18|resnet18|layer\d|top-\d|F1|f1|uint8|float32|/255|https?://[^)\s]*"
)


def inputs(rng, params=PARAMS):
    """Everything that a card is made of, every figure in it random."""

    def whole():
        return int(rng.integers(1_000, 1_000_000))

    def randomised(settings):
        if isinstance(settings, dict):
            return {key: randomised(value) for key, value in settings.items()}
        return whole() if isinstance(settings, int) else rng.random() if isinstance(settings, float) else settings

    measured, names = results(rng, params), variants(params)

    def of_variants(pattern):
        return {variant: measured[pattern.format(variant)] for variant in names}

    tables = {
        "adaptation": pd.concat(of_variants("adaptation/{}/conditions.csv").values(), ignore_index=True),
        "corruption": pd.concat(of_variants("corruption/{}/conditions.csv").values(), ignore_index=True),
        "adversarial": pd.concat(of_variants("adversarial/{}/accuracy.csv").values(), ignore_index=True),
        "gradcam": measured["gradcam/shown.csv"],
        "interpolation": measured["interpolation.csv"],
        "ood": pd.concat(of_variants("ood/{}/scores.csv").values(), ignore_index=True),
        "wrong_labels": measured["label_errors/images.csv"],
    }
    changes = adapted_changes(tables["adaptation"])
    calibration = of_variants("calibration/{}/metrics.json")
    training = {"features": measured["training/features.json"], **of_variants("training/{}/cost.json")}
    of_robustness = robustness(tables["corruption"])
    for variant, scores in of_robustness.items():
        scores["adapted_change"] = changes[variant]
    sets, answers = (
        pd.concat(of_variants(f"conformal/{{}}/{name}.csv").values(), ignore_index=True) for name in ("sets", "answers")
    )
    return {
        "params": randomised(params),
        "figures": {
            "summary": headlines(calibration, tables["corruption"], training),
            "calibration": calibration,
            "comparison": measured["comparison.json"],
            "robustness": of_robustness,
            "conformal": {
                variant: figures | under_corruption(variant, sets, answers)
                for variant, figures in of_variants("conformal/{}/metrics.json").items()
            },
            "label_errors": measured["label_errors/summary.json"],
            "ood": mean_auroc(tables["ood"]),
            "adversarial": of_variants("adversarial/{}/checks.json"),
            "attribution": measured["gradcam/attribution.json"],
            "training": training,
            "export": measured["export.json"],
            "dataset": FACTS._asdict(),
        },
        "tables": tables,
        "published": published_accuracies("cifar10", of_robustness[params["freeze"]]["by_corruption"]),
    }


def test_a_share_of_nothing_is_a_dash():
    """No test image was sure enough to be answered, and none was right without corruption."""
    content = inputs(np.random.default_rng(0))
    for of in content["figures"]["conformal"]["fc"]["answers"]:
        of |= {"threshold": 0.9, "answered": 0.0, "wrong": None}
    content["figures"]["robustness"]["fc"]["retained"] = None
    card = render_card(**content)
    assert "| `fc` | 5 % | 0.00 % | \N{EN DASH} |" in card
    assert re.search(r"\| `fc` \| [\d.]+ % \| [\d.]+ % \([^)]+\) \| \N{EN DASH} \|", card)


def test_the_shares_of_empty_sets_are_told_of_clean_and_of_corrupted_images():
    content = inputs(np.random.default_rng(0))
    of = content["figures"]["conformal"]["full"]
    for rows, empty in ((of["sets"], 0.0512), (of["corrupted"]["sets"], 0.1529)):
        rows[0] |= {"empty": empty}
        assert (rows[0]["score"], rows[0]["target"]) == ("lac", 0.9)
    (row,) = re.findall(r"^\| `full` \| 90 % \| [^n]*$", render_card(**content), flags=re.MULTILINE)
    cells = [cell.strip() for cell in row.split("|")]
    assert (cells[7], cells[12]) == ("5.12 %", "15.29 %")


def test_levels_are_told_with_the_decimals_they_have_and_batches_as_they_were():
    content = inputs(np.random.default_rng(0))
    for of in content["figures"]["conformal"]["fc"]["sets"]:
        of["target"] = {0.9: 0.975, 0.95: 0.995}[of["target"]]
    for of in content["figures"]["conformal"]["fc"]["corrupted"]["sets"]:
        of["target"] = {0.9: 0.975, 0.95: 0.995}[of["target"]]
    card = render_card(**content)
    assert "| `fc` | 97.5 % |" in card and "| `fc` | 99.5 % |" in card
    assert f"{content['tables']['adaptation']['batch_size'].max()} at a time" in card


def numbers(text):
    return set(NUMBER.findall(NAMES.sub("", text)))


def written(value):
    """The numbers as which a card may write a figure."""
    if isinstance(value, dict):
        return set().union(*map(written, value.values()), *map(written, value))
    if isinstance(value, list):
        return set().union(*map(written, value))
    if isinstance(value, pd.DataFrame):
        return written(value.to_dict("records"))
    if isinstance(value, str):
        if not re.fullmatch(r"-?\d+(\.\d+)?(e[+-]?\d+)?", value):
            return numbers(value)
        value = float(value)
    if not isinstance(value, int | float):
        return set()
    shown = (setting, str, fixed, percent, signed, points, seconds, lambda share: f"{100 * share:.4g}")
    return set().union(*(numbers(show(value)) for show in shown), numbers(f"{value / 1e6:.1f}"))


def test_every_number_in_the_card_is_one_that_was_measured_or_set():
    content = inputs(np.random.default_rng(0))
    found = numbers(render_card(**content))
    assert len(found) > 300
    assert found - written(content) == set()


def test_no_number_is_typed_into_the_template():
    text = (TEMPLATES / "MODEL_CARD.md.j2").read_text()
    assert numbers(re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "", text, flags=re.DOTALL)) == set()


@pytest.mark.parametrize("freeze", VARIANTS)
def test_the_head_carries_the_published_figures_in_the_hub_s_format(freeze):
    content = inputs(np.random.default_rng(1))
    content["params"]["freeze"] = freeze
    head = read_yaml(render_card(**content).split("---\n")[1])
    (model,) = head["model-index"]
    (result,) = model["results"]
    assert model["name"] == f"{'light-resnet' if freeze == 'scratch' else 'resnet18'}-cifar10-{freeze}"
    assert result["task"]["type"] == "image-classification"
    assert result["dataset"] == {"type": "uoft-cs/cifar10", "name": "CIFAR-10", "split": "test"}
    assert result["metrics"][0]["value"] == pytest.approx(content["figures"]["summary"][freeze]["accuracy"], abs=5e-5)
    assert all(set(metric) == {"type", "name", "value"} for metric in result["metrics"])


def test_every_heading_that_a_reader_looks_for_is_there():
    headings = re.findall("^## (.*)$", render_card(**inputs(np.random.default_rng(2))), flags=re.MULTILINE)
    assert headings == [
        "Results per variant",
        "Calibration",
        "Intended use",
        "How to use it",
        "Data",
        "Training",
        "Failure modes",
        "Robustness",
        "Beyond confidence",
        "Adversarial inputs",
        "Where it looks",
        "Limits",
        "How to reproduce it",
        "References",
    ]


def test_every_table_has_as_many_cells_in_each_line():
    lines = render_card(**inputs(np.random.default_rng(3))).splitlines()
    tables = [list(run) for is_table, run in groupby(lines, lambda line: line.startswith("|")) if is_table]
    assert len(tables) == 27
    assert all(len({line.count("|") for line in table}) == 1 for table in tables)


def test_the_digits_are_not_taken_for_cifar10():
    content = inputs(np.random.default_rng(4)) | {"published": {}}
    content["params"]["data"]["dataset"] = "digits"
    content["figures"]["dataset"] |= {"title": "handwritten digits", "mirrors": False}
    card = render_card(**content)
    assert "uoft-cs" not in card
    assert "photographs" not in card
    assert "(crop, " in card and "flip" not in card  # a mirrored digit is none
    assert "the dataset's own test images" not in card


def test_a_model_without_errors_gets_a_card():
    content = inputs(np.random.default_rng(5))
    content["tables"]["gradcam"] = content["tables"]["gradcam"][:0]
    content["figures"]["calibration"]["layer4"]["confused"] = []
    assert "most confident of its errors" not in render_card(**content)


def test_a_figure_that_is_absent_is_an_error_and_not_a_blank():
    content = copy.deepcopy(inputs(np.random.default_rng(6)))
    del content["figures"]["summary"]["layer4"]["nll_after"]
    with pytest.raises(jinja2.UndefinedError, match="nll_after"):
        render_card(**content)


def robust(accuracies, lead):
    """The card's answer where variants have these accuracies under corruption, and each pair this difference."""
    content = inputs(np.random.default_rng(7))
    for variant, accuracy in accuracies.items():
        content["figures"]["summary"][variant]["corrupted_accuracy"] = accuracy
    for pair in content["figures"]["comparison"]["pairs"]:
        pair["corrupted_accuracy"] = lead
    (answer,) = re.findall(r"corruption cost\?\*\* (.*)", render_card(**content))
    return answer


def test_the_answer_names_the_most_accurate_variant_under_corruption_and_its_lead():
    accuracies = {"fc": 0.3, "layer4": 0.8, "full": 0.6, "scratch": 0.1}
    assert robust(accuracies, {"difference": -0.2, "low": -0.25, "high": -0.125}) == (
        "`layer4` keeps the most: under corruption it classifies 80.00 % right on average, against 60.00 % for `full`, "
        "30.00 % for `fc` and 10.00 % for `scratch`. Its lead over `full`, in points, is +20.00 on these images "
        "(+12.50 to +25.00); another seed of the training may change it."
    )


def test_the_lead_is_told_of_the_better_one_whichever_comes_first():
    accuracies = {"fc": 0.3, "layer4": 0.6, "full": 0.8, "scratch": 0.1}
    answer = robust(accuracies, {"difference": 0.2, "low": 0.125, "high": 0.25})
    assert "lead over `layer4`, in points, is +20.00 on these images (+12.50 to +25.00)" in answer


@pytest.mark.parametrize(("low", "answer"), [(0.06, "No"), (0.04, "These images show no loss")])
def test_calibration_does_not_survive_where_its_interval_is_above_what_chance_gives(low, answer):
    content = inputs(np.random.default_rng(8))
    content["figures"]["robustness"]["layer4"]["corrupted"]["ece_null_mean"] = 0.05
    content["figures"]["comparison"]["shift"]["layer4"]["corrupted"]["ece"] |= {"low": low}
    assert f"**Does calibration survive?** {answer}: " in render_card(**content)


def test_published_figures_are_labelled_and_never_mixed_with_the_measured():
    content = inputs(np.random.default_rng(9))
    lines = [line for line in render_card(**content).splitlines() if line.startswith("| jpeg compression |")]
    measured = [content["figures"]["robustness"][v]["by_corruption"]["jpeg_compression"]["accuracy"] for v in VARIANTS]
    elsewhere = [model["by_corruption"]["jpeg_compression"] for model in content["published"].values()]
    assert lines == [f"| jpeg compression | {' | '.join(map(percent, measured + elsewhere))} |"]
    ours, theirs = "`fc` | `layer4` | `full` | `scratch`", "WRN-28-10, published | PreActResNet-18, published"
    assert f"| corruption | {ours} | {theirs} |" in render_card(**content)


def test_a_failed_check_stands_out():
    content = inputs(np.random.default_rng(10))
    assert "| No image lacks a gradient | pass | pass | **FAIL** | pass | some |" in render_card(**content)
    content["params"]["adversarial"]["images"] = 20
    told = "| No image lacks a gradient | pass | pass | too few images to tell | pass | some |"
    assert told in render_card(**content)


def test_a_share_of_zero_images_without_a_gradient_is_told_too():
    content = inputs(np.random.default_rng(11))
    attacked = content["tables"]["adversarial"]["zero_gradients"].notna()
    content["tables"]["adversarial"].loc[attacked, "zero_gradients"] = 0.0
    assert "At most 0.00 % of the images gave an attack no gradient to follow." in render_card(**content)


def test_a_setting_that_all_trainings_share_is_told_once():
    card = render_card(**inputs(np.random.default_rng(12)))
    assert card.count("optimizer adamw") == 1
    assert "| optimizer |" not in card


@pytest.mark.parametrize("names", [TWO, FIVE, SEVEN])
def test_every_variant_of_the_parameters_is_in_every_table_of_the_card(names):
    card = render_card(**inputs(np.random.default_rng(13), params_of(names)))
    rows = [line for line in card.splitlines() if line.startswith("|")]
    counts = {name: sum(row.startswith(f"| `{name}` |") for row in rows) for name in names}
    assert len(set(counts.values())) == 1 and counts["full"] > 10
    headings = [row for row in rows if " `fc` |" in row and " `full` |" in row]
    assert len(headings) == 5
    assert all(re.search(" ".join(rf"`{name}` \|" for name in names), row) for row in headings)
    others = set(VARIANTS + SEVEN) - {*names, "layer4", "layer3", "layer2"}  # which are stages too
    assert not [name for name in others if f"`{name}`" in card]


def test_the_card_says_where_each_variant_starts_and_from_which_images_it_learns():
    card = render_card(**inputs(np.random.default_rng(14), params_of(FIVE)))
    assert "That is `fc`, and the first phase of `layer4` and `full`." in card
    assert "anew in every epoch: `layer4`, `layer3` and `full`." in card
    assert "`layer4` and `full` then go on from that head" in card
    assert "`fc` and `layer3` start from a random head." in card
    assert "counted in the times of `fc`, `layer4` and `full` above" in card
    assert "`scratch` is a light network trained from random weights" in card


def test_a_study_of_fine_tuning_alone_does_not_speak_of_a_light_network():
    content = inputs(np.random.default_rng(15), params_of(TWO))
    card = render_card(**content)
    assert "`fc` and `full` fine-tune one backbone. All learned" in card
    assert "light network" not in card and "`scratch`" not in card
    assert numbers(card) - written(content) == set()


@pytest.mark.parametrize("weights", ["imagenet", "torchvision"])
def test_the_bundled_imagenet_weights_come_with_their_source_licence_and_published_errors(weights):
    content = inputs(np.random.default_rng(16))
    content["params"]["backbone"]["weights"] = weights
    card = render_card(**content)
    bundled = weights == "imagenet"
    for text in ("29.186 % top-1 and 10.284 % top-5: **published, not measured here**", "`weights/LICENSE-imagenet`"):
        assert (text in card) == bundled
    assert ("`layer4` had a third block, which was cut" in card) == bundled
    assert numbers(card) - written(content) == (
        numbers(f"{percent(TOP_1, 3)} {percent(TOP_5, 3)}") if bundled else set()
    )


@pytest.mark.parametrize(
    ("name", "weights", "line"),
    [
        (
            "resnet18",
            "imagenet",
            "A ResNet-18 trained on ImageNet by Microsoft and bundled with this project, fine-tuned",
        ),
        ("resnet18", "torchvision", "A ResNet-18 trained on ImageNet and published by torchvision, fine-tuned"),
        ("resnet18", "file", "A ResNet-18 with the user's own weights, fine-tuned"),
        ("resnet50", "imagenet", "A ResNet-50 trained on ImageNet and published by torchvision, fine-tuned"),
        ("efficientnet_lite0", "imagenet", "An EfficientNet-Lite0 trained on ImageNet and published by Google, fine"),
        ("timm/convnext_atto", "imagenet", "A convnext_atto with the weights that timm has for it, fine-tuned"),
        ("timm/convnext_atto", "none", "A convnext_atto with random weights, fine-tuned"),
    ],
)
def test_the_card_says_whose_the_backbone_is(name, weights, line):
    content = inputs(np.random.default_rng(6))
    content["params"]["backbone"] |= {"name": name, "weights": weights}
    card = render_card(**content)
    assert f"\n{line}" in card
    assert f"\n  - {name.split('/')[-1]}\n" in card
    assert f"name: {name.split('/')[-1]}-cifar10-layer4\n" in card
    assert ("read ImageNet's terms" in card) == (weights in ("imagenet", "torchvision") and "timm" not in name)
    assert ("before any commercial use" in card) == (weights != "none")
