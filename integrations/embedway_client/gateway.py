"""The dialects of our own gateway, whose errors are written for the caller."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from embedway_client.error import AuthenticationFailed
from embedway_upstream import (
    BadVector,
    EmbeddingError,
    InputTooLong,
    InvalidRequest,
    OpenAI,
    RateLimited,
    UnknownModel,
    UpstreamFailed,
    UpstreamTimeout,
)
from embedway_upstream.engines.cohere import Cohere
from embedway_upstream.engines.status import retry_after

__all__ = ["Gateway", "GatewayRerank"]

_MOST_WORDS = 1000
_ROW = re.compile(r"\binput\[(\d{1,9})\]", re.ASCII)


class _Error(msgspec.Struct):
    message: str = ""
    param: str | None = None
    code: str | int | None = None


class _Body(msgspec.Struct):
    error: _Error | str | None = None
    message: str = ""


_decode = msgspec.json.Decoder(_Body).decode


class Gateway(OpenAI):
    """Shows the server's message, where the generic dialect hides what an upstream says."""

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> EmbeddingError:
        """What the status, and OpenAI's `code` and `param`, stand for."""
        return _error(status, headers, body, does="embeds")


class GatewayRerank(Cohere):
    """The same for reranking, which the gateway takes in Cohere's form."""

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> EmbeddingError:
        """What the status, and OpenAI's `code` and `param`, stand for."""
        return _error(status, headers, body, does="reranks")


def _error(status: int, headers: Mapping[str, str], body: bytes, *, does: str) -> EmbeddingError:
    said = _said(body)
    words = said.message or f"the server answered {status}"
    wait = retry_after(headers)
    if status == 429:
        return RateLimited(words, retry_after=wait)
    if status in {401, 403}:
        return AuthenticationFailed(_refusal(status, said.message))
    if status in {408, 504}:
        return UpstreamTimeout(words, retry_after=wait)
    rows = [int(row) for row in _ROW.findall(said.param or "")]
    if status == 502 and rows:
        return BadVector(words.partition(" for the text")[0], rows=rows)
    if status >= 500:
        return UpstreamFailed(words, retry_after=wait)
    return _refused(status, said, words, does=does)


def _refused(status: int, said: _Error, words: str, *, does: str) -> EmbeddingError:
    code = None if said.code is None else str(said.code)
    if status == 404 and (code == "model_not_found" or said.param == "model"):
        return UnknownModel(words, param="model", code=code)
    if status == 413 or code == "context_length_exceeded":
        return InputTooLong(words, param=said.param, code=code)
    if status in {400, 422}:
        return InvalidRequest(words, param=said.param, code=code)
    if status == 404:
        words += f"; nothing {does} at this address: base_url usually ends in /v1"
    elif 300 <= status < 400:
        words += "; redirects are not followed: give the final address as base_url"
    return InvalidRequest(words, param=said.param or "base_url", code=code)


def _refusal(status: int, words: str) -> str:
    what = "refused the API key" if status == 401 else "does not allow this with the API key given"
    said = f": {words}" if words else ""
    return f"the server {what} ({status}){said}; check api_key= or EMBEDWAY_API_KEY"


def _said(body: bytes) -> _Error:
    """OpenAI's error, or those of its relatives that give a bare message."""
    try:
        whole = _decode(body)
    except (msgspec.DecodeError, RecursionError):
        return _Error()
    error = whole.error
    if not isinstance(error, _Error):
        error = _Error(error or whole.message)
    # A message may end up in a terminal or a log: no control characters, and not without end.
    words = "".join(c if c.isprintable() else " " for c in error.message[: _MOST_WORDS + 1])
    if len(words) > _MOST_WORDS:
        words = words[:_MOST_WORDS] + "…"
    return _Error(words.strip(), error.param, error.code)
