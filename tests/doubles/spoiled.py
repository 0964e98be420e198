"""How an engine's answer can be wrong: each word, and what becomes of a right answer."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from doubles.engine_server import base64_of, dump

__all__ = ["HARMLESS", "SPOILED", "spoil"]

Items = list[dict[str, Any]]
Row = NDArray[np.float32]


def _row(item: Mapping[str, Any]) -> Row:
    """Of an item in whichever form."""
    form = item["embedding"]
    if isinstance(form, str):
        return np.frombuffer(base64.b64decode(form), "<f4").copy()
    return np.array(form, np.float32)


def _first(item: Callable[[Row], Any]) -> Callable[[Items], Items]:
    """The embedding of the first item becomes another."""
    return lambda items: [{**items[0], "embedding": item(_row(items[0]))}, *items[1:]]


def _each(item: Callable[[Row], Any]) -> Callable[[Items], Items]:
    return lambda items: [{**one, "embedding": item(_row(one))} for one in items]


def _with(row: Row, value: Any) -> Row:
    row[0] = value
    return row


def _doubled(items: Items) -> Items:
    """Two of one index, and none of another."""
    if len(items) == 1:
        return [*items, *items]
    return [{**items[0], "index": items[1]["index"]}, *items[1:]]


# In OpenAI's `data`.
_DATA: Mapping[str, Callable[[Items], Items]] = {
    "duplicated": _doubled,
    "duplicated whole": lambda items: [*items, items[0]],
    "dropped": lambda items: items[:-1],
    "emptied": lambda _items: [],
    "extra": lambda items: [*items, {**items[0], "index": len(items)}],
    "off by one": lambda items: [{**one, "index": one["index"] + 1} for one in items],
    "negative": lambda items: [{**items[0], "index": -1}, *items[1:]],
    "unnumbered": lambda items: [
        {key: value for key, value in one.items() if key != "index"} for one in items
    ],
    "nan": _each(lambda row: base64_of(_with(row, np.nan))),
    "infinite": _first(lambda row: base64_of(_with(row, np.inf))),
    "beyond float32": _first(lambda row: [1e300, *row.tolist()[1:]]),
    "null": _first(lambda row: [None, *row.tolist()[1:]]),
    "null vector": _first(lambda _row: None),
    "no vector": _first(lambda _row: []),
    "zeros": _first(lambda row: base64_of(row * np.float32(0))),
    "dimension": _each(lambda row: base64_of(row[:-1])),
    "double precision": _each(lambda row: base64.b64encode(row.astype("<f8").tobytes()).decode()),
    "ragged": _first(lambda row: base64_of(row[:-1])),
    "tokens": _each(lambda row: [row.tolist(), row.tolist()]),
    "odd bytes": _first(lambda row: base64.b64encode(row.tobytes()[:-3]).decode()),
    "bad base64": _first(lambda _row: "@@@@"),
    "words": _first(lambda row: [str(number) for number in row]),
}


_WHOLE: Mapping[str, Callable[[bytes], bytes]] = {
    "html": lambda _body: b"<html><body>Welcome to the proxy, secret words</body></html>",
    "nothing": lambda _body: b"",
    "truncated": lambda body: body[: len(body) * 2 // 3],
    "more": lambda body: body + b"{}",
    "null body": lambda _body: b"null",
    "no data": lambda _body: b'{"object":"list"}',
    "error with 200": lambda _body: b'{"error":{"message":"secret words"}}',
    "not utf-8": lambda body: b"\xff\xfe" + body,
    "nan as a word": lambda body: body.replace(b'"embedding":', b'"embedding":[NaN],"was":', 1),
}

_RIGHT: Mapping[str, Callable[[Items], Items]] = {
    "shuffled": lambda items: items[::-1],
    "floats": _each(lambda row: row.tolist()),
}

SPOILED = (*_DATA, *_WHOLE)
"""None of these can be read as right vectors."""
HARMLESS = tuple(_RIGHT)
"""The right vectors, said otherwise."""


def spoil(word: str, body: Any) -> bytes:
    """The bytes of an answer of that kind."""
    if word in _WHOLE:
        return _WHOLE[word](dump(body))
    change = _RIGHT.get(word) or _DATA[word]
    return dump({**body, "data": change(body["data"])})
