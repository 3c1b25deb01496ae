import pytest

from study.evaluation.temperature import HIGHEST
from study.reporting.formats import plain
from study.reporting.results_table import plain_table, remarks, results_table, settings_table
from tests.made_up_results import FIVE, PARAMS, SEVEN, TWO, VARIANTS, params_of

FIGURES = {
    "accuracy": 0.94321,
    "ece_before": 0.02345,
    "ece_after": 0.00678,
    "corrupted_accuracy": 0.71239,
    "train_seconds": 1234.4,
}
CALIBRATION = {variant: {"temperature": 1.5, "fitted": True, "never_predicted": []} for variant in VARIANTS}
SUMMARY = dict.fromkeys(VARIANTS, FIGURES) | {"published": FIGURES}
COST = {"trainable_parameters": 11_444_298, "device": "cpu", "precision": "bfloat16"}
TRAINING = {"features": {"seconds": 9.5}} | dict.fromkeys(VARIANTS, COST)
SETTINGS = PARAMS["train"]


def test_the_markdown_has_a_line_for_every_variant_with_its_figures_rounded():
    heading, rule, *lines = results_table(SUMMARY, TRAINING, SETTINGS).splitlines()
    assert heading.split(" | ")[2:5] == ["accuracy", "ECE before", "ECE after"]
    assert rule == "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |"
    assert [line.split(" | ")[0] for line in lines] == ["| `fc`", "| `layer4`", "| `full`", "| `scratch`"]
    assert lines[2] == (
        "| `full` | everything (11.4 M) | 94.32 % | 0.0234 | 0.0068 | 71.24 % | 1,234 s | cpu, bfloat16 |"
    )


def test_the_columns_of_the_plain_table_line_up():
    lines = plain_table(SUMMARY, TRAINING, SETTINGS, CALIBRATION).splitlines()
    assert len({line.index(text) for line, text in zip(lines, ["ECE after", *["0.0068"] * 4], strict=True)}) == 1
    assert max(map(len, lines)) <= 120


def test_balanced_accuracy_stands_beside_accuracy_where_the_summary_has_it():
    summary = {variant: FIGURES | {"balanced_accuracy": 0.5} for variant in VARIANTS}
    heading, rule, first, *_ = results_table(summary, TRAINING, SETTINGS).splitlines()
    assert heading.split(" | ")[2:5] == ["accuracy", "balanced accuracy", "ECE before"]
    assert first.split(" | ")[2:5] == ["94.32 %", "50.00 %", "0.0234"]
    assert rule == "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |"
    plain = plain_table(summary, TRAINING, SETTINGS, CALIBRATION).splitlines()
    assert plain[0].index("balanced accuracy") == plain[1].index("50.00 %")


def test_there_is_no_remark_where_every_temperature_is_fitted_and_every_class_predicted():
    assert remarks(CALIBRATION) == []


def test_one_line_names_the_classes_that_are_never_predicted():
    content = CALIBRATION | {
        "fc": CALIBRATION["fc"] | {"never_predicted": ["dog"]},
        "scratch": CALIBRATION["scratch"] | {"never_predicted": ["a*b", "ship"]},
    }
    line = "On the test images, fc never predicts dog; scratch never predicts a*b, ship."
    assert remarks(content) == [line]
    assert plain_table(SUMMARY, TRAINING, SETTINGS, content).splitlines()[len(VARIANTS) + 1 :] == [line]
    assert remarks(content, "`{}`", plain) == [
        "On the test images, `fc` never predicts dog; `scratch` never predicts a\\*b, ship."
    ]


def test_a_temperature_that_was_not_fitted_is_said_with_the_reason_and_what_its_figures_are():
    content = CALIBRATION | {
        "fc": CALIBRATION["fc"] | {"temperature": 1.0, "fitted": False},
        "scratch": CALIBRATION["scratch"] | {"temperature": HIGHEST, "fitted": False},
    }
    of_fc, of_scratch = remarks(content)
    assert of_fc.startswith("The temperature of fc was not fitted: no temperature from 0.05 up is the best")
    assert of_fc.endswith("Its figures after scaling are those at 1.")
    assert "scratch was not fitted: the best one for its validation images is above 20" in of_scratch
    assert of_scratch.endswith("Its figures after scaling are those at 20.")


@pytest.mark.parametrize("names", [TWO, FIVE, SEVEN])
def test_every_variant_of_the_parameters_is_a_line_that_says_what_learns(names):
    summary, training = dict.fromkeys(names, FIGURES), dict.fromkeys(names, COST)
    _, _, *lines = results_table(summary, training, params_of(names)["train"]).splitlines()
    learning = {
        "fc": "head",
        "layer4": "last block and head",
        "layer3": "layer3 to head",
        "layer2": "layer2 to head",
        "bn": "batch norm from layer3 on, and head",
        "full": "everything",
        "scratch": "a light network",
    }
    assert [line.split(" (")[0] for line in lines] == [f"| `{name}` | {learning[name]}" for name in names]


def test_the_settings_table_has_a_column_for_each_training_and_a_dash_where_it_has_no_such_setting():
    heading, _, *lines = settings_table(params_of(FIVE)["train"], mirrors=True).splitlines()
    assert heading == "|  | phase one of `layer4`, `full` | `fc` | `layer4` | `layer3` | `full` | `scratch` |"
    rows = {line.split(" | ")[0].removeprefix("| "): line.removesuffix(" |").split(" | ")[1:] for line in lines}
    dash = "\N{EN DASH}"
    assert rows["unfreeze from"] == [dash, "fc", "layer4", "layer3", "stem", dash]
    assert rows["start"] == [dash, "random", "probe", "random", "probe", dash]
    assert rows["epochs"] == 6 * ["2"]
    assert rows["augment"] == [dash, "cached views", *4 * ["crop, flip, mixup"]]
    assert rows["batch size"] == [*5 * [dash], "16"]


def test_without_a_variant_that_starts_from_a_trained_head_there_is_no_first_phase():
    settings = {name: block | {"start": "random"} for name, block in params_of(TWO)["train"].items()}
    assert settings_table(settings, mirrors=True).splitlines()[0] == "|  | `fc` | `full` |"
