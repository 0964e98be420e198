"""Writes vectors into an answer without a Python object for a number."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray
from pybase64 import b64encode

from embedway_upstream import EmbeddingResponse

__all__ = ["write_embeddings", "write_embeddings_in_turns", "write_rows_in_turns"]

_quote = msgspec.json.Encoder().encode

# Numbers that are written before the event loop has another turn: 2.4 ms as decimals. All at once,
# 2,048 vectors of 1,024 would hold it up for 69 ms.
_TURN = 65_536


def write_embeddings(response: EmbeddingResponse, *, model: str, base64: bool) -> bytes:
    """
    OpenAI's form. `model` is the name that was asked for.

    Floats are the shortest decimals that read back as the same float32; base64 is of
    little-endian float32.
    """
    return b"".join(_pieces(response, model=model, base64=base64))


async def write_embeddings_in_turns(
    response: EmbeddingResponse, *, model: str, base64: bool
) -> bytes:
    """The same, and others have their turn in between where it is long."""
    if response.vectors.size <= _TURN:
        return write_embeddings(response, model=model, base64=base64)
    # Two pieces a row.
    every = max(2, 2 * _TURN // max(1, response.vectors.shape[1]))
    parts = []
    for index, piece in enumerate(_pieces(response, model=model, base64=base64)):
        parts.append(piece)
        if index % every == 0:
            await asyncio.sleep(0)
    return b"".join(parts)


async def write_rows_in_turns(vectors: NDArray[np.float32]) -> bytes:
    """An array for each vector, of the same decimals as in OpenAI's form."""
    rows = np.ascontiguousarray(vectors, dtype="<f4")
    if rows.size <= _TURN:
        return _numbers(rows)
    every = max(1, _TURN // rows.shape[1])
    parts = []
    for start in range(0, len(rows), every):
        # Without the brackets around all of them.
        parts.append(_numbers(rows[start : start + every])[1:-1])
        await asyncio.sleep(0)
    return b"[" + b",".join(parts) + b"]"


def _pieces(response: EmbeddingResponse, *, model: str, base64: bool) -> Iterator[bytes]:
    usage = response.usage
    yield b'{"object":"list","data":['
    vectors = np.ascontiguousarray(response.vectors, dtype="<f4")
    begin = b'{"object":"embedding","index":%d,"embedding":'
    for index, row in enumerate(vectors):
        yield begin % index
        if base64:
            yield b'"%b"}' % b64encode(row)
        else:
            yield _numbers(row) + b"}"
        begin = b',{"object":"embedding","index":%d,"embedding":'
    yield b'],"model":'
    yield _quote(model)
    yield b',"usage":{"prompt_tokens":%d,"total_tokens":%d}}' % (
        usage.prompt_tokens,
        usage.total_tokens,
    )


def _numbers(rows: NDArray[np.float32]) -> bytes:
    return orjson.dumps(rows, option=orjson.OPT_SERIALIZE_NUMPY)
