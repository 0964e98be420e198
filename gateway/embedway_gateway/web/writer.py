"""Writes the answer to `POST /v1/embeddings` without a Python object for a number."""

from __future__ import annotations

from binascii import b2a_base64

import msgspec
import numpy as np
import orjson

from embedway_upstream import EmbeddingResponse

__all__ = ["write_embeddings"]

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
            parts += (b'"', b2a_base64(row, newline=False), b'"}')
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
