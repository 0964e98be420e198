"""Reads what a user asks for as `device`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

__all__ = ["Target", "read_target"]

_FORM = re.compile(r"(cuda|tensorrt)(?::(all|\d{1,3}(?:,\d{1,3})*))?")


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of device, and which cards of it; None for all that this process sees."""

    kind: Literal["auto", "cpu", "cuda", "tensorrt"]
    cards: tuple[int, ...] | None = (0,)


def read_target(device: str) -> Target:
    """
    "auto", "cpu", "cuda" (the first card), "cuda:1", "cuda:0,2", "cuda:all", and the same of
    "tensorrt". Raises `ValueError` for anything else.
    """
    if device == "auto":
        return Target("auto")
    if device == "cpu":
        return Target("cpu")
    found = _FORM.fullmatch(device) if isinstance(device, str) else None
    if found is None:
        raise ValueError(
            f'device={device!r}: "auto", "cpu", "cuda", "cuda:0", "cuda:0,1", "cuda:all" and '
            '"tensorrt" are known'
        )
    kind: Literal["cuda", "tensorrt"] = "cuda" if found[1] == "cuda" else "tensorrt"
    if found[2] is None:
        return Target(kind)
    if found[2] == "all":
        return Target(kind, None)
    return Target(kind, tuple(dict.fromkeys(int(number) for number in found[2].split(","))))
