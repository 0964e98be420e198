"""Puts the name that was asked for into answers that are passed through, and nothing else."""

from __future__ import annotations

import re
from typing import ClassVar

import msgspec

from embedway_upstream.engines.form import UNREADABLE

__all__ = ["Events", "Single", "renamed"]

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]')
_VALUE = re.compile(rb'\s*:\s*("(?:[^"\\]|\\.)*")')
# A longer line is no event of any server that is known; it is passed on as it is.
_LONGEST_LINE = 1024 * 1024


class _Usage(msgspec.Struct):
    total_tokens: int = 0


class _Told(msgspec.Struct):
    usage: _Usage | None = None


_decode = msgspec.json.Decoder(_Told).decode


def renamed(document: bytes, name: bytes) -> bytes:
    """
    The JSON document with `name`, a JSON string, as the value of its own `model`; every other
    byte stays. A document without one, or that is no object, stays whole.
    """
    depth = 0
    for match in _TOKEN.finditer(document):
        token = match.group()
        if token in {b"{", b"["}:
            depth += 1
        elif token in {b"}", b"]"}:
            depth -= 1
        elif depth == 1 and token == b'"model"':
            value = _VALUE.match(document, match.end())
            if value is not None:
                return document[: value.start(1)] + name + document[value.end(1) :]
    return document


class Single:
    """One JSON document."""

    content_type: ClassVar[bytes] = b"application/json"

    def __init__(self, model: str) -> None:
        self._name = msgspec.json.encode(model)
        self.tokens = 0
        """All that the answer says it cost."""
        self.events = 0

    def feed(self, document: bytes) -> bytes:
        """The whole document, renamed."""
        self.tokens = _tokens(document)
        return renamed(document, self._name)


class Events:
    """Server-sent events, each renamed as soon as its line is whole."""

    content_type: ClassVar[bytes] = b"text/event-stream; charset=utf-8"

    def __init__(self, model: str) -> None:
        self._name = msgspec.json.encode(model)
        self._rest = b""
        self.tokens = 0
        """All that the stream says it cost, in its last events."""
        self.events = 0
        """How many came."""

    def feed(self, piece: bytes) -> bytes:
        """What can be passed on now."""
        whole, newline, rest = (self._rest + piece).rpartition(b"\n")
        if len(rest) > _LONGEST_LINE:
            whole, newline, rest = whole + newline + rest, b"", b""
        self._rest = rest
        if not newline:
            return whole
        return b"".join(self._line(line) for line in (whole + newline).splitlines(keepends=True))

    def end(self) -> bytes:
        """What is left when nothing more comes."""
        rest, self._rest = self._rest, b""
        return self._line(rest)

    def break_off(self) -> bytes:
        """
        What ends the event that was begun, when no more comes of it: the half of a line is nothing
        that a client could read, and is dropped.
        """
        self._rest = b""
        return b"\n\n"

    def _line(self, line: bytes) -> bytes:
        if not line.startswith(b"data:") or b'"model"' not in line:
            return line
        self.events += 1
        if b'"usage"' in line:
            self.tokens = max(self.tokens, _tokens(line.removeprefix(b"data:")))
        return renamed(line, self._name)


def _tokens(document: bytes) -> int:
    try:
        usage = _decode(document).usage
    except UNREADABLE:
        return 0
    return max(0, usage.total_tokens) if usage else 0
