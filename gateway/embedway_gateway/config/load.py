"""Reads a configuration file and reports every mistake in it at once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from embedway_gateway.config.document import read_yaml, told
from embedway_gateway.config.exposure import require_own
from embedway_gateway.config.schema import Config

__all__ = ["ConfigError", "load_config"]

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
# Of a shell, of Kubernetes: nothing else in a configuration looks so, and a token must not.
_OTHERWISE = re.compile(r"\$(?:\(([A-Za-z_][A-Za-z0-9_]*)\)|([A-Za-z_][A-Za-z0-9_]*))")


class ConfigError(Exception):
    """The file cannot be used; `problems` holds one sentence each, with its path in the file."""

    def __init__(self, path: Path, problems: list[str]) -> None:
        super().__init__("\n".join([f"{path} cannot be used:", *(f"  {p}" for p in problems)]))
        self.problems = problems


def load_config(path: Path, environment: Mapping[str, str] | None = None) -> Config:
    """
    Read and check a file; `${NAME}` in a value is replaced from the environment.

    Raises `ConfigError` with every mistake that was found, and for a file that everyone may write.
    Values never occur in its message, because they may be secrets.
    """
    environment = os.environ if environment is None else environment
    try:
        require_own(path)
    except ValueError as error:
        raise ConfigError(path, [str(error)]) from None
    try:
        values, problems = read_yaml(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(path, [f"{error.strerror}"]) from error
    except yaml.YAMLError as error:
        raise ConfigError(path, [told(error)]) from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(path, [f"not YAML: {type(error).__name__}"]) from None
    if not isinstance(values, dict):
        raise ConfigError(path, ["the file must hold keys and values, beginning with `models:`"])
    try:
        expanded = _expand(values, "", environment, problems)
    except RecursionError:
        raise ConfigError(path, ["an alias (*) stands for something that contains it"]) from None
    try:
        config = Config.model_validate(expanded)
    except ValidationError as error:
        missing = [problem.partition(":")[0] for problem in problems]
        problems += _sentences(error.errors(include_url=False), missing)
        raise ConfigError(path, problems) from None
    if problems:
        raise ConfigError(path, problems)
    return config


def _expand(
    value: object, path: str, environment: Mapping[str, str], problems: list[str]
) -> object:
    if isinstance(value, dict):
        return {
            key: _expand(item, f"{path}.{key}".lstrip("."), environment, problems)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [
            _expand(item, f"{path}[{index}]", environment, problems)
            for index, item in enumerate(value)
        ]
    if not isinstance(value, str):
        return value

    if problem := _unexpanded(value, environment):
        problems.append(f"{path}: {problem}")
        return value

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        if name not in environment:
            problems.append(f"{path}: the environment has no variable {name}")
            # Not empty, so that the missing variable is the only complaint.
            return match[0]
        return environment[name]

    return _VARIABLE.sub(replace, value)


def _unexpanded(value: str, environment: Mapping[str, str]) -> str:
    """What is wrong with a value that means a variable and names it otherwise; empty is nothing."""
    if "${" in _VARIABLE.sub("", value):
        return (
            "only ${NAME} is replaced from the environment, where NAME is letters, digits and _; a "
            "text that holds ${ itself must come from a variable"
        )
    match = _OTHERWISE.fullmatch(value)
    name = (match[1] or match[2]) if match else ""
    # A password may well be $ecret; one of capitals alone is hardly there.
    if name and (name.isupper() or name in environment):
        return 'a variable is written "${NAME}", and this would be taken as it stands'
    return ""


def _sentences(errors: list[ErrorDetails], missing: list[str]) -> list[str]:
    """
    One for each mistake. That a list whose items are wrong has too few of them is none, nor is
    what follows from a value that is `missing` from the environment.
    """
    places = [error["loc"] for error in errors]

    def echoes(error: ErrorDetails) -> bool:
        here = error["loc"]
        return error["type"] == "too_short" and any(
            len(place) > len(here) and place[: len(here)] == here for place in places
        )

    def follows(error: ErrorDetails) -> bool:
        here = _place(error["loc"])
        # Not what is wrong with a whole section: that may well be another mistake.
        return "." in here and any(f"{place}.".startswith(f"{here}.") for place in missing)

    told = [error for error in errors if not (echoes(error) or follows(error))]
    return [sentence for error in told for sentence in _told(error)]


def _told(error: ErrorDetails) -> list[str]:
    place = _place(error["loc"])
    if error["type"] == "extra_forbidden":
        return [_unknown(error["loc"])]
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "missing":
        message = "is missing"
    if error["type"] == "string_type" and isinstance(error["input"], bool | int | float | date):
        message = "YAML takes it for a date, a number, yes or no: put it in quotes"
    # What contradicts something elsewhere in the file has its own place, one a line.
    return [f"{place}: {message}"] if place else message.splitlines()


def _unknown(location: tuple[int | str, ...]) -> str:
    """An unknown key, with the nearest one that exists there."""
    key = str(location[-1])
    known = list(_fields(location[:-1]))
    near = get_close_matches(key, known, n=1, cutoff=0.6)
    advice = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
    return f"{_place(location[:-1])}: unknown key {key!r}; {advice}".removeprefix(": ")


def _fields(location: tuple[int | str, ...]) -> Iterator[str]:
    """The keys that the schema has at a place."""
    level: type[BaseModel] = Config
    for step in location:
        if isinstance(step, str) and step in level.model_fields:
            level = _model_in(level.model_fields[step].annotation, _tag(location)) or level
    yield from level.model_fields


def _tag(location: tuple[int | str, ...]) -> object:
    """The `type` of what a place is in, which pydantic adds where there is a choice."""
    place = _tag_place(location)
    return location[place] if place and len(location) > place else ""


def _tag_place(location: tuple[int | str, ...]) -> int:
    """Where pydantic adds it: below a name, below a number, or at once; 0 is nowhere."""
    places = {"credentials": 2, "discovery": 2, "cache": 1, "limits": 1, "usage": 1}
    return places.get(str(location[:1] and location[0]), 0)


def _model_in(annotation: object, tag: object) -> type[BaseModel] | None:
    """The schema class inside an annotation such as `tuple[UpstreamConfig, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        kind = annotation.model_fields.get("type")
        return annotation if not (kind and tag) or tag in get_args(kind.annotation) else None
    inner = (_model_in(item, tag) for item in getattr(annotation, "__args__", ()))
    return next((item for item in inner if item is not None), None)


def _place(location: tuple[int | str, ...]) -> str:
    # pydantic adds the members of a union, by name or by `type`, which are not in the file.
    if _tag(location):
        added = _tag_place(location)
        location = location[:added] + location[added + 1 :]
    steps = (step for step in location if not str(step).endswith("Config"))
    place = ""
    for step in steps:
        place += f"[{step}]" if isinstance(step, int) else f".{step}"
    return place.lstrip(".")
