from study.pipeline.variants import VARIANTS
from study.reporting.results_table import LEARNS, plain_table, results_table

FIGURES = {
    "accuracy": 0.94321,
    "ece_before": 0.02345,
    "ece_after": 0.00678,
    "corrupted_accuracy": 0.71239,
    "train_seconds": 1234.4,
}
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
    lines = plain_table(SUMMARY, TRAINING).splitlines()
    assert len({line.index(text) for line, text in zip(lines, ["ECE after", *["0.0068"] * 4], strict=True)}) == 1
    assert max(map(len, lines)) <= 120


def test_the_table_says_of_every_variant_what_learns():
    assert tuple(LEARNS) == VARIANTS
