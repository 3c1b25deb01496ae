from typing import Annotated

import pytest
from pydantic import Field

from stages.common.params import Block, Refusal, parse, read_params


class Recipe(Block):
    epochs: Annotated[int, Field(le=1000)]
    lr: float


DEEP = []
for _ in range(100_000):
    DEEP = [DEEP]
ENDLESS = []
ENDLESS.append(ENDLESS)
BOMB = "x"
for _ in range(9):
    BOMB = [BOMB] * 10  # a billion words, as a few lines of YAML with anchors make them


def params(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return read_params(path)


def test_exponents_as_dvc_writes_them_are_numbers(tmp_path):
    assert params(tmp_path, "lr: 5e-05") == {"lr": 0.00005}


def test_a_block_is_found_by_its_dotted_key():
    assert parse({"train": {"fc": {"epochs": 3, "lr": 0.1}}}, "train.fc", Recipe) == Recipe(epochs=3, lr=0.1)


def test_a_whole_number_is_a_valid_float():
    assert parse({"fc": {"epochs": 3, "lr": 1}}, "fc", Recipe).lr == 1.0


@pytest.mark.parametrize(
    ("block", "line"),
    [
        ({"epochs": 3}, "params.yaml: fc.lr is missing"),
        ({"epochs": 3, "lr": 0.1, "momentum": 0.9}, "params.yaml: fc.momentum is not a known parameter"),
        ({"epochs": "3", "lr": 0.1}, "params.yaml: fc.epochs = '3': input should be a valid integer"),
        ({"epochs": True, "lr": 0.1}, "params.yaml: fc.epochs = True: input should be a valid integer"),
        ({"epochs": 3.5, "lr": 0.1}, "params.yaml: fc.epochs = 3.5: input should be a valid integer"),
    ],
)
def test_a_bad_block_is_refused_in_one_line_that_names_key_and_value(block, line):
    with pytest.raises(Refusal, match="^" + line.replace(".", r"\.")):
        parse({"fc": block}, "fc", Recipe)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ([1.5], "[1.5]"),
        ("x" * 1000, "'xxx"),
        (10**5000, "a number of thousands of digits"),
        (DEEP, "[[["),
        (ENDLESS, "[[["),
        (BOMB, "[[["),
        ({"a": "b\nc"}, r"{'a': 'b\nc'}"),
    ],
    ids=["short", "long", "huge", "deep", "endless", "bomb", "line break"],
)
def test_a_value_is_shown_on_one_short_line(value, shown):
    with pytest.raises(Refusal) as refusal:
        parse({"fc": {"epochs": value, "lr": 0.1}}, "fc", Recipe)
    assert str(refusal.value).startswith(f"params.yaml: fc.epochs = {shown}")
    assert len(str(refusal.value).splitlines()) == 1
    assert len(str(refusal.value)) < 500


@pytest.mark.parametrize(
    ("key", "shown"),
    [("a\nb", r"fc.a\nb"), ("\u2028", r"fc.\u2028"), ("x" * 10**6, "fc.xxx")],
    ids=["line break", "line separator", "long"],
)
def test_a_key_is_shown_on_one_short_line(key, shown):
    with pytest.raises(Refusal) as refusal:
        parse({"fc": {"epochs": 3, "lr": 0.1, key: 1}}, "fc", Recipe)
    assert str(refusal.value).startswith(f"params.yaml: {shown}")
    assert len(str(refusal.value).splitlines()) == 1
    assert len(str(refusal.value)) < 500


def test_of_many_faults_the_first_are_named_and_the_rest_counted():
    with pytest.raises(Refusal) as refusal:
        parse({"hidden": ["wide"] * 100}, "hidden", list[int])
    assert str(refusal.value).count("= 'wide'") == 5
    assert str(refusal.value).endswith("; and 95 more faults")


def test_a_missing_block_is_refused():
    with pytest.raises(Refusal, match=r"params\.yaml: train\.fc is missing"):
        parse({"train": {}}, "train.fc", Recipe)


@pytest.mark.parametrize(
    "text",
    [
        *("a: [1", "- 1\n- 2", "", "a: 1\na: 2", "a: \0", 'a: "\\Uffffffff"', "a: " + "9" * 5000, "a: " + "[" * 3000),
        *("a: 2001-02-30", "a: 2001-02-03T99:99:99", "a: !!int ''", "a: !!int word", "a: !!bool word", "a: !!float w"),
    ],
)
def test_what_is_no_mapping_is_refused_in_one_line(tmp_path, text):
    with pytest.raises(Refusal) as refusal:
        params(tmp_path, text)
    assert "\n" not in str(refusal.value)
