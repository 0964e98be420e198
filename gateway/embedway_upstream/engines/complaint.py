"""What an engine's error says, whichever of the known forms it is written in."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from embedway_upstream.engines.form import UNREADABLE

__all__ = ["Complaint", "complaint"]

# No known message is longer; what a pattern is searched in stays short, whatever was sent.
_MOST = 4000


@dataclass(frozen=True, slots=True)
class Complaint:
    """
    For rules to look at, and for nothing else: `text` may hold inputs, paths and names.

    `kinds` are the words that classify (`type`, `error_type`, `code`), in lower case.
    """

    text: str = ""
    kinds: frozenset[str] = frozenset()


class _Inner(msgspec.Struct):
    message: str | None = None
    type: str | None = None
    code: str | int | None = None


class _Entry(msgspec.Struct):
    # pydantic echoes the whole `input` beside it: not named here, so it is skipped unread.
    type: str = ""


class _Body(msgspec.Struct):
    error: str | _Inner | None = None
    error_type: str | None = None
    message: str | None = None
    type: str | None = None
    code: str | int | None = None
    detail: str | list[_Entry] | None = None


_decode = msgspec.json.Decoder(_Body).decode


def complaint(body: bytes) -> Complaint:
    """
    Read the flat and nested forms of OpenAI, TEI, OVMS, infinity, vLLM and OCI, and plain text;
    anything else is an empty complaint. Never raises.
    """
    if body.lstrip()[:1] != b"{":
        return Complaint(body[:_MOST].decode("utf-8", "replace"))
    try:
        said = _decode(body)
    except UNREADABLE:
        return Complaint()
    inner = said.error if isinstance(said.error, _Inner) else _Inner()
    texts = (said.error, inner.message, said.message, said.detail)
    entries = said.detail if isinstance(said.detail, list) else []
    kinds = (said.error_type, said.type, said.code, inner.type, inner.code)
    words = [*kinds, *(entry.type for entry in entries)]
    return Complaint(
        " ".join(text for text in texts if isinstance(text, str))[:_MOST],
        frozenset(word.casefold() for word in words if isinstance(word, str)),
    )
