"""Whether texts can be embedded at all, and how they are cut into requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

__all__ = ["MAX_BYTES", "MAX_TEXTS", "checked", "checked_one", "cut", "room", "roughly"]

MAX_BYTES = 4 * 1024 * 1024
"""A gateway takes bodies of 10 MiB by default, and OCI of 10 MB; JSON's escapes need room."""
MAX_TEXTS = 2048
"""OpenAI's bound for one request, and the gateway's."""
# What a body holds beside the texts: the model's name and a few fields.
_ENVELOPE = 4096


def checked(texts: Iterable[str], name: str = "texts") -> tuple[str, ...]:
    """
    The texts, which a caller knows by `name`, seen to be strings that UTF-8 can carry.

    Raises `TypeError` for one string instead of many and for anything that is not a string,
    `ValueError` for lone surrogates. Messages name the position, never the text.
    """
    if isinstance(texts, (str, bytes)):
        raise TypeError(f"{name} is one string; give a list of strings")
    return tuple(_text(f"{name}[{index}]", text) for index, text in enumerate(texts))


def checked_one(text: str, name: str) -> str:
    """Like `checked`, for one text."""
    return _text(name, text)


def roughly(text: str) -> int:
    """Bytes of a text in UTF-8 at the most; exact sizes would cost a copy of every text."""
    return len(text) if text.isascii() else 4 * len(text)


def room(*bounds: int | None) -> int:
    """Bytes that texts may take in a body, under all the bounds that there are."""
    return min([MAX_BYTES, *(size - _ENVELOPE for size in bounds if size is not None)])


def cut(
    texts: tuple[str, ...],
    most: int,
    *,
    most_bytes: int = MAX_BYTES,
    size_of: Callable[[str], int] = roughly,
) -> Iterator[tuple[str, ...]]:
    """
    Pieces in order, of at most `most` texts and, unless one text is larger, `most_bytes`: those
    that `size_of` says a text takes.
    """
    start = size = 0
    for index, text in enumerate(texts):
        grown = size + size_of(text)
        if index > start and (index - start == most or grown > most_bytes):
            yield texts[start:index]
            start, grown = index, grown - size
        size = grown
    if texts:
        yield texts[start:]


def _text(name: str, text: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{name} is {type(text).__name__}, not a string")
    try:
        if not text.isascii():
            text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{name} has a lone surrogate at position {error.start}, which UTF-8 cannot "
            "carry; clean it with text.encode('utf-8', 'replace').decode()"
        ) from None
    # A subclass, as numpy's, becomes the string that it is: JSON's encoder takes nothing else.
    return str.__str__(text)
