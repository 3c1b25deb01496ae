"""Typed parameters: every block of params.yaml is a `Block`, declared beside the code that uses it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

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
    try:
        params = YAML(typ="safe", pure=True).load(path)
    except (YAMLError, UnicodeDecodeError) as fault:
        raise Refusal(f"{path} is not valid YAML: {' '.join(str(fault).split())}") from None
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
        raise Refusal("; ".join(_line(key, error) for error in fault.errors())) from None


def _line(key: str, error: Any) -> str:
    name = ".".join(filter(None, [key, *map(str, error["loc"])]))
    if error["type"] == "extra_forbidden":
        return f"params.yaml: {name} is not a known parameter"
    if error["type"] == "missing":
        return f"params.yaml: {name} is missing"
    return f"params.yaml: {name} = {error['input']!r}: {error['msg'][0].lower()}{error['msg'][1:]}"
