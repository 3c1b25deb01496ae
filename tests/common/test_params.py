import pytest

from stages.common.params import Block, Refusal, parse, read_params


class Recipe(Block):
    epochs: int
    lr: float


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


def test_a_missing_block_is_refused():
    with pytest.raises(Refusal, match=r"params\.yaml: train\.fc is missing"):
        parse({"train": {}}, "train.fc", Recipe)


@pytest.mark.parametrize("text", ["a: [1", "- 1\n- 2", "", "a: 1\na: 2"])
def test_what_is_no_mapping_is_refused_in_one_line(tmp_path, text):
    with pytest.raises(Refusal) as refusal:
        params(tmp_path, text)
    assert "\n" not in str(refusal.value)
