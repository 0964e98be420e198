"""How much one call may hold, and how texts are cut to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

__all__ = ["Bounds", "utf8_size"]

# What a body holds beside the texts: the model's name and a few fields.
_ENVELOPE = 4096
# Of JSON: a control character is written as \\u0000, and a text has quotes and a comma.
_LARGEST_CHARACTER = 6
_AROUND = 3
# Of UTF-8.
_MOST_BYTES = 4

_encode = msgspec.json.Encoder().encode


def utf8_size(text: str) -> int:
    """The bytes of a text: nearer to its tokens than its characters are, whatever its script."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one call may hold; None is no bound. A text that is too large alone is a call alone."""

    max_inputs: int | None = None
    """Texts, or documents to rerank."""
    max_bytes: int | None = None
    """Of the request's body."""
    max_text: int | None = None
    """Bytes of text that the model reads, as UTF-8."""

    def least(self, other: Bounds) -> Bounds:
        """What is within both."""
        return Bounds(
            max_inputs=_least(self.max_inputs, other.max_inputs),
            max_bytes=_least(self.max_bytes, other.max_bytes),
            max_text=_least(self.max_text, other.max_text),
        )

    def texts_that_fit(self, texts: tuple[str, ...], *, along: str = "") -> int:
        """
        How many of the texts, from the first, make one call: at least one, unless there is none.
        `along` is written into the body once and read with each text: a rerank's query.
        """
        return len(next(self._cut(texts, along)))

    def pieces(self, texts: tuple[str, ...], *, along: str = "") -> list[tuple[str, ...]]:
        """The texts in order, in as few calls as an order allows; `along` as above."""
        return list(self._cut(texts, along))

    def _cut(self, texts: tuple[str, ...], along: str) -> Iterator[tuple[str, ...]]:
        most = len(texts) if self.max_inputs is None else self.max_inputs
        start = 0
        if self._surely_fit(texts, along):
            # Small beyond doubt, as nearly always: only the number of texts matters.
            while len(texts) - start > most:
                yield texts[start : start + most]
                start += most
            yield texts[start:]
            return
        room = None if self.max_bytes is None else self.max_bytes - _ENVELOPE - len(_encode(along))
        beside = utf8_size(along)
        written = read = 0
        for index, text in enumerate(texts):
            # Weighed only where a bound asks for it.
            body = 0 if room is None else len(_encode(text)) + 1
            size = 0 if self.max_text is None else utf8_size(text) + beside
            full = index - start == most
            full |= room is not None and written + body > room
            full |= self.max_text is not None and read + size > self.max_text
            if full and index > start:
                yield texts[start:index]
                start, written, read = index, 0, 0
            written += body
            read += size
        yield texts[start:]

    def _surely_fit(self, texts: tuple[str, ...], along: str) -> bool:
        if self.max_bytes is None and self.max_text is None:
            return True
        characters = sum(map(len, texts))
        if self.max_bytes is not None:
            body = _LARGEST_CHARACTER * (characters + len(along)) + _AROUND * (len(texts) + 1)
            if body + _ENVELOPE > self.max_bytes:
                return False
        read = _MOST_BYTES * (characters + len(texts) * len(along))
        return self.max_text is None or read <= self.max_text


def _least(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
