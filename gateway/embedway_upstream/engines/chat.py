"""Chat and completions in OpenAI's shape: where they are, and what failures mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from embedway_upstream.chat import ChatRequest, ChatTask
from embedway_upstream.engines.form import UNREADABLE
from embedway_upstream.engines.verdict import (
    Finding,
    Rule,
    busy,
    failed,
    judge,
    loading,
    no_key,
    no_route,
    unable,
    unknown_model,
)
from embedway_upstream.error import EmbeddingError, InputTooLong, InvalidRequest

__all__ = ["chat_error", "chat_paths", "encode_chat"]

_encode = msgspec.json.Encoder().encode
_NAME = re.compile(r"[a-z][a-z_]{0,40}")


class _Inner(msgspec.Struct):
    param: str | None = None


class _Error(msgspec.Struct):
    error: _Inner


_decode = msgspec.json.Decoder(_Error).decode


def chat_paths(version: str) -> Mapping[ChatTask, str]:
    """The routes below a version, such as `/v1`."""
    return MappingProxyType(
        {"chat": f"{version}/chat/completions", "completions": f"{version}/completions"}
    )


def encode_chat(request: ChatRequest, model: str | None) -> bytes:
    """The client's own bytes, field by field, under the name that the server expects."""
    named = msgspec.Raw(_encode(model or request.model))
    return _encode({**request.fields, "model": named})


def _too_long(found: Finding) -> EmbeddingError:
    most = "" if found.limit is None else f" ({found.limit} tokens)"
    return InputTooLong(
        f"the prompt, with what may be generated, is longer than the upstream's model takes{most}",
        limit=found.limit,
        detail=found.detail,
    )


def _refused(found: Finding) -> EmbeddingError:
    return InvalidRequest("the upstream refuses the request as invalid", detail=found.detail)


# The body is the client's, so that what an engine finds wrong with it is the client's mistake.
_RULES = (
    Rule(unknown_model, kind="model_not_found"),
    Rule(unknown_model, says="model .* does not exist", statuses=frozenset({404})),
    Rule(unknown_model, says="graph definition with requested name is not found"),
    # vLLM and OpenAI, then vLLM before 0.9, TGI (router/src/validation.rs) and OVMS.
    Rule(_too_long, says=r"maximum context length (is|of) (?P<limit>\d+)"),
    Rule(_too_long, says=r"longer than the maximum model length of (?P<limit>\d+)"),
    Rule(_too_long, says=r"`max_new_tokens` must be <= (?P<limit>\d+)"),
    Rule(_too_long, says=r"must have less than (?P<limit>\d+) tokens"),
    Rule(_too_long, says="exceeds model max length"),
    Rule(_too_long, kind="context_length_exceeded"),
    Rule(busy, kind="overloaded"),
    Rule(busy, says="currently busy", statuses=frozenset({503})),
    Rule(loading, says="not loaded yet|Server is not ready"),
    Rule(no_key, says="invalid or missing api-key"),
    Rule(no_key, statuses=frozenset({401, 403})),
    Rule(unable, says="does not support (the )?(Chat|Completions|Generate)"),
    Rule(unable, statuses=frozenset({501})),
    Rule(no_route, statuses=frozenset({404, 405})),
    Rule(_refused, statuses=frozenset({400, 412, 415, 422})),
    # TGI's for whatever went wrong while it generated.
    Rule(failed, statuses=frozenset({424})),
)


def chat_error(status: int, headers: Mapping[str, str], body: bytes) -> EmbeddingError:
    """The error; of the body only the name of a field is kept, and the model's limit."""
    error = judge(_RULES, status, headers, body)
    if isinstance(error, InvalidRequest):
        error.param = _param(body)
    return error


def _param(body: bytes) -> str | None:
    try:
        param = _decode(body).error.param
    except UNREADABLE:
        return None
    return param if param and _NAME.fullmatch(param) else None
