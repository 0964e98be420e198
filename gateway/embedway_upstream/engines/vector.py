"""Reads the vectors of a reply in OpenAI's form, and says what is wrong with one that is not."""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from embedway_upstream.engines.form import UNREADABLE
from embedway_upstream.error import BadReply

__all__ = ["UNPOOLED", "numbered", "row", "stack", "why"]

UNPOOLED = "the upstream gave a vector for every token and not for every text"


def numbered(
    items: Iterable[tuple[int, NDArray[np.float32]]], count: int
) -> list[NDArray[np.float32]]:
    """The rows in the order of their index; `BadReply` unless each of 0 to n-1 is there once."""
    rows: list[NDArray[np.float32] | None] = [None] * count
    given = 0
    for index, vector in items:
        if not 0 <= index < count or rows[index] is not None:
            raise BadReply("the upstream's items are not numbered 0 to n-1, each once")
        rows[index] = vector
        given += 1
    if given != count:
        raise BadReply(f"the upstream gave {given} vectors for {count} inputs")
    return [vector for vector in rows if vector is not None]


def row(embedding: str | list[float]) -> NDArray[np.float32]:
    """One vector of floats, or of base64 of float32."""
    if isinstance(embedding, list):
        # Beyond float32 a number becomes infinite, which the check of the reply finds.
        with np.errstate(over="ignore"):
            return np.array(embedding, dtype=np.float32)
    try:
        # Little-endian float32, said outright: it is the wire's order, whatever the machine's.
        return np.frombuffer(a2b_base64(embedding, strict_mode=True), dtype="<f4")
    except (Base64Error, ValueError):
        raise BadReply("the upstream gave a vector that is not base64 of float32") from None


def stack(rows: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """(n, d) of n vectors that must be of one size."""
    if any(vector.size != rows[0].size for vector in rows):
        raise BadReply("the upstream gave vectors of different sizes")
    return np.stack(rows) if rows else np.empty((0, 0), dtype=np.float32)


_Loose: TypeAlias = str | list[float | list[float | None] | None] | None


class _Item(msgspec.Struct):
    embedding: _Loose = None


class _Reply(msgspec.Struct):
    data: list[_Item]


_decode = msgspec.json.Decoder(_Reply).decode


def why(body: bytes, unpooled: str = UNPOOLED) -> str:
    """What is wrong with a reply that is not in OpenAI's form; `unpooled` names the cure."""
    try:
        rows = [item.embedding for item in _decode(body).data]
    except UNREADABLE:
        # Python's json writes NaN as a word that is no JSON.
        rows = [[None]] if b"NaN" in body or b"Infinity" in body else []
    numbers = [number for one in rows if isinstance(one, list) for number in one]
    if any(isinstance(number, list) for number in numbers):
        return unpooled
    if any(number is None for number in numbers):
        # TEI, infinity and vLLM write NaN as null (serde_json and orjson do).
        return "the upstream gave a vector with a number that is not finite"
    return "the upstream's reply is not in OpenAI's form"
