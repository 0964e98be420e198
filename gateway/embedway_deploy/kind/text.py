"""The texts that what is deployed is compared with, the longest made for the model's length."""

from __future__ import annotations

__all__ = ["ORDINARY", "pair", "texts"]

ORDINARY = 512
"""Tokens that most models read; where one reads more, a `pair` is worth its time."""
# Tokens: longer ones are not embedded on this machine, where attention would take gigabytes.
_COMPARED = 2048

_SHORT = (
    "The car sped down the highway at an incredible speed.",
    "Ein Fahrzeug raste die Autobahn entlang.",
    "Two short words",
    "子供が公園でボール遊びをしていた。",
)
# One token each in most vocabularies; and letters, in nearly all.
_WORDS = ("word", "car", "music", "water", "house", "money", "school")
_FIRST = 128
_LEAST = 700


def texts(max_tokens: int | None) -> tuple[str, ...]:
    """
    Short, in several scripts, and one that is longer than the model reads; that one is missing
    where `max_tokens` is None, for a server that refuses it.
    """
    if max_tokens is None:
        return _SHORT
    return (*_SHORT, _long(max(_LEAST, min(max_tokens, _COMPARED) * 5 // 4)))


def _long(count: int) -> str:
    """With another word wherever the length has doubled: cut at a limit, it is another text."""
    words: list[str] = []
    for index, word in enumerate(_WORDS):
        words += [word] * (_FIRST << max(0, index - 1))
    return " ".join(words[:count])


def pair(max_tokens: int) -> tuple[str, str]:
    """Two that fit into `max_tokens`, and differ in what comes after three quarters of it."""
    # A word is at least a token, and a letter no more; eight are left for those around a text.
    count = max_tokens - 8
    same = count * 3 // 4
    return tuple(" ".join(["a"] * same + [end] * (count - same)) for end in ("b", "x"))  # type: ignore[return-value]
