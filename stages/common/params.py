"""Typed parameters: every block of params.yaml is a `Block`, declared beside the code that uses it."""

from collections.abc import Mapping
from pathlib import Path
from reprlib import Repr
from textwrap import shorten
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from ruamel.yaml import YAML

FAULTS = 5  # that a refusal names; a list of a hundred thousand words where numbers belong has as many
BRIEF = Repr()
BRIEF.maxlevel, BRIEF.maxstring, BRIEF.maxother = 2, 60, 60

T = TypeVar("T")
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Refusal(Exception):
    """A fault that the user can mend. Its message is one line that names the fault and the way out."""


class Block(BaseModel):
    """A block of params.yaml: unknown keys are refused and nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def read_params(path: Path) -> dict[str, Any]:
    """The parameters as plain Python values.

    YAML 1.2 rules: `dvc exp run -S lr=0.00005` writes `5e-05`, which YAML 1.1 readers take for a string.
    Raises Refusal when the file is not a YAML mapping.
    """
    content = path.read_bytes()
    try:
        params = YAML(typ="safe", pure=True).load(content)
    except Exception as fault:  # dates and numbers that are none raise more than YAMLError
        raise Refusal(f"{path} is not valid YAML: {shorten(str(fault), 300, placeholder='...')}") from None
    if not isinstance(params, dict):
        raise Refusal(f"{path} must be a mapping of parameters, got {type(params).__name__}")
    return params


def parse(params: Mapping[str, Any], key: str, kind: type[T]) -> T:
    """The parameters under `key` ("train.fc"; "" is all of them) as `kind`: a Block, or a type for a single value.

    Raises Refusal, one line that names the key, its value and what is allowed.
    """
    value: Any = params
    for part in key.split(".") if key else ():
        if not isinstance(value, Mapping) or part not in value:
            raise Refusal(f"params.yaml: {key} is missing")
        value = value[part]
    try:
        return TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError as fault:
        lines = [_line(key, error) for error in fault.errors()]
        more = [f"and {len(lines) - FAULTS} more faults"] if len(lines) > FAULTS else []
        raise Refusal("; ".join(lines[:FAULTS] + more)) from None


def _line(key: str, error: Any) -> str:
    name = ".".join(filter(None, [key, *(_shown(part).strip("'\"") for part in error["loc"])]))
    if error["type"] == "extra_forbidden":
        return f"params.yaml: {name} is not a known parameter"
    if error["type"] == "missing":
        return f"params.yaml: {name} is missing"
    return f"params.yaml: {name} = {_shown(error['input'])}: {error['msg'][0].lower()}{error['msg'][1:]}"


def _shown(value: Any) -> str:
    """The value on one line, cut where it is long, deep or endless."""
    try:
        return BRIEF.repr(value)
    except ValueError:  # Python turns no integer of more than 4,300 digits into text
        return "a number of thousands of digits"
