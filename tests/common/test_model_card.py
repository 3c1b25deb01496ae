import copy
import re
from itertools import groupby

import jinja2
import numpy as np
import pytest
from ruamel.yaml import YAML

from stages.common.diagrams import MEAN
from stages.common.model_card import TEMPLATES, fixed, leaves, percent, render_card, seconds, setting
from stages.common.variants import VARIANTS

NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?")
NAMES = re.compile(r"CIFAR-10-C|CIFAR-10|cifar10|ResNet-18|resnet18|layer4|F1|f1|uint8")


def inputs(rng):
    """Everything that a card is made of, every figure in it random."""

    def figures(*names):
        return {name: rng.random() for name in names}

    def whole():
        return int(rng.integers(1_000, 1_000_000))

    recipe = ("epochs", "lr", "weight_decay", "label_smoothing")
    scores = ("precision", "recall", "f1")
    metrics = (
        *("accuracy", "ece_before", "ece_after", "nll_before", "nll_after", "brier_after", "macro_f1", "temperature"),
        *("corrupted_accuracy", "corrupted_ece_before", "corrupted_ece_after", "train_seconds"),
    )
    return {
        "freeze": "layer4",
        "params": {
            "data": {"dataset": "cifar10", "train": whole(), "val": whole(), "test": whole(), "seed": whole()},
            "backbone": {"weights": "tinyimagenet", "head": {"hidden": [whole(), whole()], "dropout": rng.random()}},
            "train": {
                "common": {name: whole() for name in ("image_size", "views", "batch_size", "seed")}
                | {"probe": figures(*recipe)},
                **{variant: figures(*recipe) for variant in VARIANTS},
            },
            "calibrate": {"bins": whole()},
            "corrupt_eval": {"corruptions": ["fog", "motion_blur"], "images": whole(), "seed": whole()},
        },
        "summary": {variant: figures(*metrics) for variant in VARIANTS},
        "training": {"features": {"seconds": 1e3 * rng.random()}}
        | {
            variant: {"trainable_parameters": whole() * 100, "device": "cpu", "precision": "float"}
            for variant in VARIANTS
        },
        "calibration": {
            variant: {
                "per_class": {name: figures(*scores) | {"support": whole()} for name in ("cat", "dog")},
                "confused": [{"true": "cat", "predicted": "dog", "count": whole(), "rate": rng.random()}],
            }
            for variant in VARIANTS
        },
        "robustness": [
            {"variant": variant, "corruption": corruption, "severity": severity, "images": whole()}
            | figures("accuracy", "ece_before", "ece_after")
            for variant in VARIANTS
            for corruption in (MEAN, "fog", "motion_blur")
            for severity in range(3)
        ],
        "cams": [
            {"kind": "confident_misses", "true": "cat", "predicted": "dog", "confidence": str(rng.random())}
            for _ in range(17)
        ],
        "export": {"variant": "layer4", "images": whole(), "max_logit_difference": 1e-5 * rng.random()},
    }


def numbers(text):
    return set(NUMBER.findall(NAMES.sub("", text)))


def told(value):
    """The ways in which a card may tell a figure."""
    if isinstance(value, dict):
        return set().union(*map(told, value.values()))
    if isinstance(value, list):
        return set().union(*map(told, value), {str(len(value))})
    if isinstance(value, str) and re.fullmatch(r"[\d.e-]+", value):
        value = float(value)
    if not isinstance(value, int | float):
        return set()
    texts = (setting(value), str(value), fixed(value), percent(value), seconds(value), f"{value / 1e6:.1f}")
    return set().union(*map(numbers, texts))


def test_every_number_in_the_card_is_one_that_was_measured_or_set():
    content = inputs(np.random.default_rng(0))
    content["summary"]["published"] = content["summary"]["layer4"]
    found = numbers(render_card(**content))
    assert len(found) > 80
    assert found - told(content) == set()


def test_no_number_is_typed_into_the_template():
    text = (TEMPLATES / "MODEL_CARD.md.j2").read_text()
    assert numbers(re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "", text, flags=re.DOTALL)) == set()


@pytest.mark.parametrize("freeze", VARIANTS)
def test_the_head_carries_the_published_figures_in_the_hub_s_format(freeze):
    content = inputs(np.random.default_rng(1)) | {"freeze": freeze}
    head = YAML(typ="safe", pure=True).load(render_card(**content).split("---\n")[1])
    (model,) = head["model-index"]
    (result,) = model["results"]
    assert model["name"] == f"resnet18-cifar10-{freeze}"
    assert result["task"]["type"] == "image-classification"
    assert result["dataset"] == {"type": "uoft-cs/cifar10", "name": "CIFAR-10", "split": "test"}
    assert result["metrics"][0]["value"] == pytest.approx(content["summary"][freeze]["accuracy"], abs=5e-5)
    assert all(set(metric) == {"type", "name", "value"} for metric in result["metrics"])


def test_every_heading_that_a_reader_looks_for_is_there():
    headings = re.findall("^## (.*)$", render_card(**inputs(np.random.default_rng(2))), flags=re.MULTILINE)
    assert headings == [
        "Results per variant",
        "Intended use",
        "How to use it",
        "Data",
        "Training",
        "Failure modes",
        "Robustness",
        "Limits",
        "How to reproduce it",
        "References",
    ]


def test_every_table_has_as_many_cells_in_each_line():
    lines = render_card(**inputs(np.random.default_rng(3))).splitlines()
    tables = [list(run) for is_table, run in groupby(lines, lambda line: line.startswith("|")) if is_table]
    assert len(tables) == 9
    assert all(len({line.count("|") for line in table}) == 1 for table in tables)


def test_the_digits_are_not_taken_for_cifar10():
    content = inputs(np.random.default_rng(4))
    content["params"]["data"]["dataset"] = "digits"
    card = render_card(**content)
    assert "uoft-cs" not in card
    assert "photographs" not in card


def test_a_model_without_errors_gets_a_card():
    content = inputs(np.random.default_rng(5)) | {"cams": []}
    content["calibration"]["layer4"]["confused"] = []
    assert "most confident of its errors" not in render_card(**content)


def test_a_figure_that_is_absent_is_an_error_and_not_a_blank():
    content = copy.deepcopy(inputs(np.random.default_rng(6)))
    del content["summary"]["layer4"]["nll_after"]
    with pytest.raises(jinja2.UndefinedError, match="nll_after"):
        render_card(**content)


def test_leaves_of_nothing_are_nothing():
    assert leaves({}) == {}
