import datetime
import math
from typing import Annotated

import pytest
from dvc.utils.serialize import load_yaml
from pydantic import Field

from study.pipeline.params import Block, Refusal, parse, read_params


class Recipe(Block):
    epochs: Annotated[int, Field(le=1000)]
    lr: float


def repr_of_its_start(text):
    return repr(text[:30])


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
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_params(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("5e-05", 0.00005), ("1e3", 1000.0), ("-.5", -0.5), ("5.", 5.0), ("+1.5E+2", 150.0)),
        *((".inf", float("inf")), ("-.INF", float("-inf")), ("123", 123), ("-7", -7), ("+7", 7)),
        *(("0123", 123), ("0o17", 15), ("0x1f", 31), ("true", True), ("FALSE", False)),
        *(("1_000", 1000), ("1_0.5", 10.5), ("0b101", 5), ("2026-01-01", datetime.date(2026, 1, 1))),
        *(("null", None), ("~", None), ("", None), ("NULL", None)),
    ],
)
def test_a_plain_word_is_what_dvc_reads(tmp_path, text, value):
    read = params(tmp_path, f"a: {text}")["a"]
    assert read == value and type(read) is type(value)
    assert load_yaml(tmp_path / "params.yaml") == {"a": value}  # DVC's own reader


def test_exponents_as_dvc_writes_them_are_numbers(tmp_path):
    assert params(tmp_path, "lr: 5e-05") == {"lr": 0.00005}


def test_not_a_number_is_read_as_one_float(tmp_path):
    assert math.isnan(params(tmp_path, "a: .nan")["a"])


@pytest.mark.parametrize(
    "text",
    [
        *("yes", "no", "on", "off", "y", "N", "tRUE", "nULL"),  # truth values and nothings of YAML 1.1, or of none
        *("1:30", "0o8", "0xg", "1e", "e5", "nan", "inf", "2001-02-03T99:99:99x"),
    ],
)
def test_a_word_that_only_yaml_1_1_converts_is_text(tmp_path, text):
    assert params(tmp_path, f"a: {text}") == {"a": text}


def test_a_quoted_number_is_text(tmp_path):
    assert params(tmp_path, "a: '5'\nb: \"null\"") == {"a": "5", "b": "null"}


@pytest.mark.parametrize("key", ["a", "0", "false", "''", "~"])
def test_a_key_that_occurs_twice_is_refused(tmp_path, key):
    with pytest.raises(Refusal, match="duplicate key"):
        params(tmp_path, f"{key}: 1\nb: 2\n{key}: 3")


def test_a_key_that_occurs_twice_deep_inside_is_refused_too(tmp_path):
    with pytest.raises(Refusal, match='duplicate key "lr"'):
        params(tmp_path, "train: {fc: {lr: 1, lr: 2}}")


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
        *("a: !!timestamp 2001-02-30", "a: !!int ''", "a: !!int word", "a: !!bool word", "a: !!float w"),
        *("a: - 1", "- " * 3000 + "1", "{" * 3000, "a: *nowhere"),
        *("a: !!python/object/apply:os.system [date]", "a: !unknown 1", "a: !!map [1]", "a: &a [*a", "%YAML 9.9\n"),
        *(b"a: \xff", b"a: caf\xe9", b"\xff\xfea", b"a: \xed\xa0\x80"),
    ],
    ids=repr_of_its_start,
)
def test_what_is_no_mapping_is_refused_in_one_line(tmp_path, text):
    with pytest.raises(Refusal) as refusal:
        params(tmp_path, text)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]",
        "a: &a {b: *a}",
        "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)),
    ],
    ids=["a list in itself", "a mapping in itself", "a billion words"],
)
def test_endless_aliases_are_refused_by_what_reads_the_value(tmp_path, text):
    read = params(tmp_path, text)
    for key in read:
        with pytest.raises(Refusal) as refusal:
            parse(read, key, int)
        assert len(str(refusal.value)) < 500 and "\n" not in str(refusal.value)


def test_a_file_in_utf_16_with_its_mark_is_read(tmp_path):
    assert params(tmp_path, "a: é".encode("utf-16")) == {"a": "é"}
