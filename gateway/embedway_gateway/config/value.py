"""Values in the configuration that have units or bounds: durations, sizes and amounts."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import (
    BeforeValidator,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)

from embedway_gateway.quota.allowance import MOST

__all__ = ["Amount", "Duration", "Pause", "Size"]

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}
_BYTES |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)")


def _with_unit(value: object, units: dict[str, float] | dict[str, int], example: str) -> object:
    """The number in base units; numbers without a unit pass through."""
    # In YAML `yes` is a 1.
    if not isinstance(value, str | bool):
        return value
    match = _NUMBER.fullmatch(str(value).strip())
    if match is None or match[2] not in units:
        raise ValueError(f"not understood; write it as {example} (units: {', '.join(units)})")
    return float(match[1]) * units[match[2]]


def _duration(value: object) -> object:
    return _with_unit(value, _SECONDS, "55s")


def _size(value: object) -> object:
    number = _with_unit(value, _BYTES, "10MiB")
    return int(number) if isinstance(number, float) else number


def _written(units: dict[str, float] | dict[str, int], bound: dict[str, int]) -> WithJsonSchema:
    """What an editor is told of a value with a unit."""
    text = rf"^\s*\d+(\.\d+)?\s*({'|'.join(units)})\s*$"
    return WithJsonSchema(
        {"anyOf": [{"type": "number", **bound}, {"type": "string", "pattern": text}]}
    )


Duration = Annotated[
    float,
    BeforeValidator(_duration),
    Field(gt=0, allow_inf_nan=False),
    _written(_SECONDS, {"exclusiveMinimum": 0}),
]
"""Seconds, written as `55s`, `500ms`, `2m` or a plain number."""

Pause = Annotated[
    float,
    BeforeValidator(_duration),
    Field(ge=0, allow_inf_nan=False),
    _written(_SECONDS, {"minimum": 0}),
]
"""The same, or none at all: 0."""

Size = Annotated[
    int, BeforeValidator(_size), Field(gt=0), _written(_BYTES, {"exclusiveMinimum": 0})
]
"""Bytes, written as `10MiB`, `500kB` or a plain number."""


def _amount(value: object, checked: ValidatorFunctionWrapHandler) -> int:
    # One sentence for what is no number, none that is whole, not finite, too small or too large.
    try:
        # In YAML `yes` is a 1, too.
        amount: int = checked(None if isinstance(value, bool) else value)
    except ValidationError:
        raise ValueError(f"must be a whole number from 1 to {MOST}, or be left out") from None
    return amount


Amount = Annotated[int, Field(ge=1, le=MOST), WrapValidator(_amount)]
"""How many of something are allowed."""
