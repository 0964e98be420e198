"""Reads the body of `POST /v1/embeddings` and names every mistake with its field."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

import msgspec

from embedway_gateway.web.error import HTTPError
from embedway_upstream import InputType
from embedway_upstream.engines.form import UNREADABLE

__all__ = ["MAX_INPUTS", "EmbeddingBody", "read_embedding_body"]

# OpenAI's own limit.
MAX_INPUTS = 2048


@dataclass(frozen=True, slots=True)
class EmbeddingBody:
    """A valid body."""

    model: str
    inputs: tuple[str, ...]
    base64: bool
    dimensions: int | None
    input_type: InputType


class _Body(msgspec.Struct):
    """The common case, decoded in one pass; unknown fields are ignored, as by every engine."""

    model: str
    input: str | list[str]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None
    input_type: Literal["query", "document"] | None = None
    user: str | None = None


_decode = msgspec.json.Decoder(_Body).decode
_decode_any = msgspec.json.Decoder().decode


def read_embedding_body(body: bytes) -> EmbeddingBody:
    """
    The body, or `HTTPError` 400 with `param`. Inputs are never repeated in a message.

    An `encoding_format` of null means "float", as when it is absent.
    """
    try:
        read = _decode(body)
    except UNREADABLE:
        raise _refusal(body) from None
    inputs = (read.input,) if isinstance(read.input, str) else tuple(read.input)
    _require_texts(inputs)
    if read.dimensions is not None and read.dimensions < 1:
        raise _invalid("dimensions must be at least 1.", "dimensions")
    return EmbeddingBody(
        model=read.model,
        inputs=inputs,
        base64=read.encoding_format == "base64",
        dimensions=read.dimensions,
        input_type=read.input_type or "document",
    )


def _require_texts(inputs: tuple[str, ...]) -> None:
    if not inputs:
        raise _invalid("input is an empty list; give at least one text.", "input")
    if len(inputs) > MAX_INPUTS:
        raise _invalid(
            f"input has {len(inputs)} texts; at most {MAX_INPUTS} are taken in one request.",
            "input",
        )
    if "" in inputs:
        raise _invalid(f"input[{inputs.index('')}] is an empty string.", "input")


def _refusal(body: bytes) -> HTTPError:
    """Read again without a schema: the way to a message that names the cure."""
    try:
        return _explain(_decode_any(body))
    except UNREADABLE as error:
        return _not_json(body, error)


def _explain(value: object) -> HTTPError:
    """What is wrong with a body that is JSON, but not one of ours."""
    if not isinstance(value, dict):
        return _invalid("The body must be a JSON object.", None)
    if not isinstance(value.get("model"), str):
        return _invalid("model must be given, as a string.", "model")
    wrong = _explain_input(value.get("input"), given="input" in value)
    if wrong is not None:
        return wrong
    for field, allowed in (
        ("encoding_format", ("float", "base64")),
        ("input_type", ("query", "document")),
    ):
        if value.get(field) not in (None, *allowed):
            return _invalid(f"{field} must be {' or '.join(map(repr, allowed))}.", field)
    if value.get("dimensions") is not None and type(value["dimensions"]) is not int:
        return _invalid("dimensions must be an integer.", "dimensions")
    if not isinstance(value.get("user"), str | None):
        return _invalid("user must be a string.", "user")
    return _invalid("The body is not a valid embeddings request.", None)


def _explain_input(value: object, *, given: bool) -> HTTPError | None:
    if not given:
        return _invalid("input is missing.", "input")
    if isinstance(value, str):
        return None
    if not isinstance(value, list):
        return _invalid("input must be a string or a list of strings.", "input")
    for index, item in enumerate(value):
        if isinstance(item, int | list) and not isinstance(item, bool):
            return _invalid(
                "input holds token ids. They mean another text to this model's tokenizer; send "
                "text instead (LangChain's OpenAIEmbeddings: check_embedding_ctx_length=False).",
                "input",
            )
        if not isinstance(item, str):
            return _invalid(f"input[{index}] is not a string.", "input")
    return None


def _not_json(body: bytes, error: Exception) -> HTTPError:
    try:
        # The standard library takes lone surrogates, which cannot be encoded again.
        json.dumps(json.loads(body), ensure_ascii=False).encode()
    except UnicodeDecodeError:
        return _invalid("The body is not UTF-8.", None)
    except UnicodeEncodeError:
        return _invalid(
            "input has a lone surrogate (such as \\ud800), which is no Unicode text.", "input"
        )
    except (ValueError, RecursionError):
        pass
    return _invalid(f"The body is not JSON: {error}", None)


def _invalid(message: str, param: str | None) -> HTTPError:
    return HTTPError(400, message, param=param, code="invalid_request")
