"""Reads the vectors of a reply in OpenAI's form, and says what is wrong with one that is not."""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from embedway_upstream.check import NOT_FINITE, unusable
from embedway_upstream.engines.form import UNREADABLE
from embedway_upstream.error import BadReply

try:
    # Six times as fast; the gateway has it, the bare client does without.
    from pybase64 import b64decode as _decode_base64
except ImportError:  # pragma: no cover
    _decode_base64 = None  # type: ignore[assignment]

__all__ = ["UNPOOLED", "LooseReply", "flaw", "numbered", "row", "stack", "why"]

UNPOOLED = "the upstream gave a vector for every token and not for every text"
_FORMLESS = "the upstream's reply is not in OpenAI's form"


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
            return np.fromiter(embedding, np.float32, len(embedding))
    try:
        # Little-endian float32, said outright: it is the wire's order, whatever the machine's.
        return np.frombuffer(_bytes_of(embedding), dtype="<f4")
    except (Base64Error, ValueError):
        raise BadReply("the upstream gave a vector that is not base64 of float32") from None


def _bytes_of(text: str) -> bytes:
    if _decode_base64 is not None:
        return _decode_base64(text, validate=True)
    return a2b_base64(text, strict_mode=True)


def stack(rows: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """(n, d) of n vectors that must be of one size."""
    if not rows:
        return np.empty((0, 0), dtype=np.float32)
    if len(rows) == 1:
        return rows[0][np.newaxis]
    if len({vector.size for vector in rows}) != 1:
        raise BadReply("the upstream gave vectors of different sizes")
    # Of one row, half the time that np.stack takes.
    return np.concatenate(rows).reshape(len(rows), *rows[0].shape)


_Loose: TypeAlias = str | list[float | list[float | None] | None] | None


class _Item(msgspec.Struct):
    index: int = -1
    embedding: _Loose | msgspec.UnsetType = msgspec.UNSET


class LooseReply(msgspec.Struct):
    """A reply in any of the forms of vectors, with nulls where there should be numbers."""

    data: list[_Item] | None = None
    embeddings: list[_Loose] | None = None
    prediction: list[_Loose] | None = None

    def vectors(self) -> list[tuple[int, _Loose | msgspec.UnsetType]]:
        """Each with its index."""
        if self.data is not None:
            return [(item.index, item.embedding) for item in self.data]
        return list(enumerate(self.embeddings or self.prediction or ()))


_decode = msgspec.json.Decoder(LooseReply).decode
# Python's json, and others, write as words what has no number in JSON.
_WORD = re.compile(rb"(?<=[\[,:\s])(?:NaN|-?Infinity)(?=[\],}\s])")


def why(body: bytes, count: int, unpooled: str = UNPOOLED) -> BadReply:
    """
    What is wrong with a reply to `count` texts that is not in OpenAI's form; `unpooled` names the
    cure of vectors for every token.
    """
    worded = b"NaN" in body or b"Infinity" in body
    try:
        reply = _decode(_WORD.sub(b"null", body) if worded else body)
    except UNREADABLE:
        return BadReply(NOT_FINITE if worded else _FORMLESS)
    return flaw(reply, count) or BadReply(unpooled if _is_nested(reply) else _FORMLESS)


def flaw(reply: LooseReply, count: int) -> BadReply | None:
    """What is to be said of nulls in a reply to `count` texts; None where there are none."""
    vectors = reply.vectors()
    rows = [index for index, one in vectors if _has_null(one)]
    if not rows:
        return None
    if sorted(index for index, _ in vectors) != list(range(count)):
        # Whose they are is not to be trusted.
        return BadReply(NOT_FINITE)
    return unusable(NOT_FINITE, sorted(rows), count)


def _has_null(one: _Loose | msgspec.UnsetType) -> bool:
    # TEI, infinity and vLLM write NaN as null (serde_json and orjson do).
    if not isinstance(one, list):
        return one is None
    return any(part is None or (isinstance(part, list) and None in part) for part in one)


def _is_nested(reply: LooseReply) -> bool:
    lists = [one for _, one in reply.vectors() if isinstance(one, list)]
    return any(isinstance(part, list) for one in lists for part in one)
