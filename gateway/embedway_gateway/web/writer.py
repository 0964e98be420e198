"""Writes vectors into an answer without a Python object for a number."""

from __future__ import annotations

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray
from pybase64 import b64encode

from embedway_upstream import EmbeddingResponse

__all__ = ["write_embeddings", "write_rows"]

_quote = msgspec.json.Encoder().encode


def write_embeddings(response: EmbeddingResponse, *, model: str, base64: bool) -> bytes:
    """
    OpenAI's form. `model` is the name that was asked for.

    Floats are the shortest decimals that read back as the same float32; base64 is of
    little-endian float32.
    """
    usage = response.usage
    parts = [b'{"object":"list","data":[']
    vectors = np.ascontiguousarray(response.vectors, dtype="<f4")
    comma = b""
    for index, row in enumerate(vectors):
        parts += (comma, b'{"object":"embedding","index":%d,"embedding":' % index)
        if base64:
            parts += (b'"', b64encode(row), b'"}')
        else:
            parts += (orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY), b"}")
        comma = b","
    parts += (
        b'],"model":',
        _quote(model),
        b',"usage":{"prompt_tokens":%d,"total_tokens":%d}}'
        % (usage.prompt_tokens, usage.total_tokens),
    )
    return b"".join(parts)


def write_rows(vectors: NDArray[np.float32]) -> bytes:
    """An array for each vector, of the same decimals as in OpenAI's form."""
    rows = np.ascontiguousarray(vectors, dtype="<f4")
    return orjson.dumps(rows, option=orjson.OPT_SERIALIZE_NUMPY)
