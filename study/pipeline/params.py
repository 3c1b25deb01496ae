"""Typed parameters: every block of params.yaml is a `Block`, declared beside the code that uses it."""

from collections.abc import Mapping
from pathlib import Path
from reprlib import Repr
from textwrap import shorten
from typing import Annotated, Any, TypeVar, overload

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from ruamel.yaml import YAML

FAULTS = 5  # named in one message; a list of a hundred thousand words would give as many
BRIEF = Repr()
BRIEF.maxlevel, BRIEF.maxstring, BRIEF.maxother = 2, 60, 60

T = TypeVar("T")
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Refusal(Exception):
    """A fault that the user can fix. Its message is one line: the fault, and what to do about it."""


class Block(BaseModel):
    """A block of params.yaml: unknown keys are refused and nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def read_yaml(content: bytes | str) -> Any:
    """YAML as DVC reads it, with its library: version 1.2, in which 5e-05 and 1_000 are numbers and yes is text."""
    return YAML(typ="safe").load(content)


def read_params(path: Path) -> dict[str, Any]:
    """The parameters as plain Python values. Raises Refusal when the file is missing or is not a YAML mapping."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise Refusal(f"{path} is missing: `git checkout {path.name}` restores it") from None
    try:
        params = read_yaml(content)
    except Exception as fault:  # a very long number or a very deep nesting raises other errors than YAMLError
        raise Refusal(f"{path} is not valid YAML: {shorten(str(fault), 300, placeholder='...')}") from None
    if not isinstance(params, dict):
        raise Refusal(f"{path} must be a mapping of parameters, got {type(params).__name__}")
    return params


@overload
def parse(params: Mapping[str, Any], key: str, kind: type[T]) -> T: ...
@overload
def parse(params: Mapping[str, Any], key: str, kind: object) -> Any: ...
def parse(params: Mapping[str, Any], key: str, kind: Any) -> Any:
    """The parameters under `key` ("train.fc"; "" is all of them) as `kind`: a Block, or the type of a single value.

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
    except ValueError:  # Python refuses to print an integer of more than 4,300 digits
        return "a number of thousands of digits"
