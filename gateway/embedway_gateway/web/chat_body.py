"""Reads as much of a chat's or completion's body as routing needs; the rest stays bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from embedway_gateway.web.error import HTTPError
from embedway_upstream.chat import ChatTask
from embedway_upstream.engines.form import UNREADABLE

__all__ = ["ChatBody", "read_chat_body"]

Value = TypeVar("Value", str, bool)

_NEEDED: Mapping[ChatTask, str] = {"chat": "messages", "completions": "prompt"}

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@dataclass(frozen=True, slots=True)
class ChatBody:
    """A body that can be routed."""

    model: str
    stream: bool
    fields: Mapping[str, msgspec.Raw]


def read_chat_body(body: bytes, task: ChatTask) -> ChatBody:
    """The body, or `HTTPError` 400 with `param`. What is not named here the upstream judges."""
    try:
        fields = _decode(body)
    except msgspec.ValidationError:
        raise _invalid("The body must be a JSON object.", None) from None
    except UNREADABLE:
        raise _invalid("The body is not JSON in UTF-8.", None) from None
    model = _value(fields, "model", str)
    if model is None:
        raise _invalid("model must be given, as a string.", "model")
    needed = _NEEDED[task]
    if needed not in fields:
        raise _invalid(f"{needed} is missing.", needed)
    return ChatBody(model, _value(fields, "stream", bool) or False, fields)


def _value(fields: Mapping[str, msgspec.Raw], name: str, kind: type[Value]) -> Value | None:
    """The field's value; None where it is absent or null."""
    if name not in fields:
        return None
    try:
        return msgspec.json.decode(fields[name], type=kind | None)
    except UNREADABLE:
        word = "a string" if kind is str else "true or false"
        raise _invalid(f"{name} must be {word}.", name) from None


def _invalid(message: str, param: str | None) -> HTTPError:
    return HTTPError(400, message, param=param, code="invalid_request")
