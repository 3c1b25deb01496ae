from study.evaluation.temperature import HIGHEST
from study.pipeline.variants import VARIANTS
from study.reporting.formats import plain
from study.reporting.results_table import LEARNS, plain_table, remarks, results_table

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


def test_the_markdown_has_a_line_for_every_variant_with_its_figures_rounded():
    heading, rule, *lines = results_table(SUMMARY, TRAINING).splitlines()
    assert heading.split(" | ")[2:5] == ["accuracy", "ECE before", "ECE after"]
    assert rule == "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |"
    assert [line.split(" | ")[0] for line in lines] == ["| `fc`", "| `layer4`", "| `full`", "| `scratch`"]
    assert lines[2] == (
        "| `full` | everything (11.4 M) | 94.32 % | 0.0234 | 0.0068 | 71.24 % | 1,234 s | cpu, bfloat16 |"
    )


def test_the_columns_of_the_plain_table_line_up():
    lines = plain_table(SUMMARY, TRAINING, CALIBRATION).splitlines()
    assert len({line.index(text) for line, text in zip(lines, ["ECE after", *["0.0068"] * 4], strict=True)}) == 1
    assert max(map(len, lines)) <= 120


def test_balanced_accuracy_stands_beside_accuracy_where_the_summary_has_it():
    summary = {variant: FIGURES | {"balanced_accuracy": 0.5} for variant in VARIANTS}
    heading, rule, first, *_ = results_table(summary, TRAINING).splitlines()
    assert heading.split(" | ")[2:5] == ["accuracy", "balanced accuracy", "ECE before"]
    assert first.split(" | ")[2:5] == ["94.32 %", "50.00 %", "0.0234"]
    assert rule == "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |"
    plain = plain_table(summary, TRAINING, CALIBRATION).splitlines()
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
    assert plain_table(SUMMARY, TRAINING, content).splitlines()[len(VARIANTS) + 1 :] == [line]
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


def test_the_table_says_of_every_variant_what_learns():
    assert tuple(LEARNS) == VARIANTS
