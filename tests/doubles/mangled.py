"""Bytes that are nearly what somebody should send: a good document, with something done to it."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

__all__ = ["examples", "json_values", "mangled", "read_all"]

NASTY: list[Any] = [
    *(None, True, False, 0, -1, 1, 2, 2**31, 2**63, 2**64, 10**30, -(2**63)),
    *(0.5, 1.0, 1e39, -1e308, float("nan"), float("inf"), float("-inf")),
    *("", "x", "a\0b", "é" * 9, "\U0001f600", "\ud800", "AAAA", "@@@@", "a" * 300),
    *([], {}, [[]], [None], [0.5], [[0.5]], ["a", 1], {"text": "a"}, {"index": 0}, [[[1]]]),
]


def examples() -> Callable[[Any], Any]:
    """How many: few in the suite, where they are the same each time."""
    count = os.environ.get("EMBEDWAY_EXAMPLES")
    return settings(
        max_examples=int(count or 40),
        derandomize=count is None,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def read_all(body: bytes) -> Any:
    """
    As Python's own JSON reads it: of two fields of one name the last counts. Of fields that nobody
    asks for msgspec looks at the structure only, so that a string there may hold anything.
    """
    return json.loads(body.decode("utf-8", "surrogateescape"), strict=False)


def json_values() -> st.SearchStrategy[Any]:
    """Any JSON."""
    leaves = st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), nasty()
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
        ),
        max_leaves=12,
    )


def nasty() -> st.SearchStrategy[Any]:
    """What readers stumble over."""
    return st.sampled_from(NASTY).map(copy.deepcopy)


@st.composite
def mangled(draw: st.DrawFn, good: Any) -> bytes:
    """Of a good JSON value: some places replaced, doubled or gone; then, perhaps, its bytes."""
    value = copy.deepcopy(good)
    for _ in range(draw(st.integers(0, 3))):
        ways = list(_places(value))
        if not ways:
            break
        _spoil(draw, value, draw(st.sampled_from(ways)))
    body = json.dumps(value, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    how = draw(st.sampled_from(["", "", "", "cut", "flip", "insert", "twice", "deep"]))
    place = draw(st.integers(0, len(body)))
    if how == "cut":
        return body[:place]
    if how == "flip":
        return body[:place] + draw(st.binary(min_size=1, max_size=2)) + body[place + 1 :]
    if how == "insert":
        piece = draw(st.sampled_from([b"\xff", b"\xed\xa0\x80", b"\\ud800", b"NaN", b",", b"\0"]))
        return body[:place] + piece + body[place:]
    if how == "twice":
        # Every field again: of two of one name the last counts.
        return body[:-1] + b"," + body[1:] if body.startswith(b"{") and len(body) > 2 else body
    if how == "deep":
        return body[:place] + b"[" * 3000 + body[place:]
    return body


def _spoil(draw: st.DrawFn, value: Any, way: tuple[Any, ...]) -> None:
    *path, last = way
    inner = value
    for key in path:
        inner = inner[key]
    kind = draw(st.sampled_from(["replace", "replace", "remove", "double", "swap"]))
    if kind == "remove":
        del inner[last]
    elif kind == "double" and isinstance(inner, list):
        inner.append(copy.deepcopy(inner[last]))
    elif kind == "swap" and isinstance(inner, list):
        inner.reverse()
    else:
        inner[last] = draw(st.one_of(nasty(), st.text(max_size=9), st.integers(-3, 9)))


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside."""
    if path:
        yield path
    if isinstance(value, dict):
        items: Any = value.items()
    else:
        items = enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _places(inner, (*path, key))
