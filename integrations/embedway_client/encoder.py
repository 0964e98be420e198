"""Embeds texts: through a server, in this process, or there while the server is away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, get_args

from embedway_client.embedding import EmbeddingResult, join, nothing
from embedway_client.fallback import Fallback, Way
from embedway_client.remote import Remote
from embedway_client.text import checked
from embedway_upstream import InputType
from embedway_upstream.gather import gather

if TYPE_CHECKING:
    from embedway_client.line import Line
    from embedway_client.settings import Settings
    from embedway_client.space import Space

__all__ = ["Encoder"]


class Encoder:
    """`line` leads to the server; None is this process. `space` is what vectors must be in."""

    def __init__(self, settings: Settings, line: Line | None, space: Space) -> None:
        self._dimensions = settings.dimensions
        self._space = space
        self._local = settings.local()
        self._fallback = Fallback(self._local, space) if settings.fallback else None
        self._remote: Remote | None = None
        if line is not None:
            self._remote = Remote(settings.endpoint(), line, space, settings)

    def encode(self, texts: Iterable[str], input_type: InputType) -> EmbeddingResult:
        """One request after the other."""
        whole = _checked(texts, input_type)
        if not whole:
            return nothing(self._dimensions, self._space.known.fingerprint)
        if self._remote is None:
            return self._space.seen(self._local.encode(whole, input_type))
        way = Way(self._remote, self._fallback)
        return join([way.encode(one, input_type) for one in self._remote.pieces(whole, input_type)])

    async def aencode(
        self, texts: Iterable[str], input_type: InputType, *, most: int
    ) -> EmbeddingResult:
        """Up to `most` requests at once; the first error cancels the others."""
        whole = _checked(texts, input_type)
        if not whole:
            return nothing(self._dimensions, self._space.known.fingerprint)
        if self._remote is None:
            return self._space.seen(await asyncio.to_thread(self._local.encode, whole, input_type))
        way = Way(self._remote, self._fallback)
        work = (way.aencode(one, input_type) for one in self._remote.pieces(whole, input_type))
        return join(await gather(work, most=most))

    def close(self) -> None:
        """Free the local model."""
        self._local.close()


def _checked(texts: Iterable[str], input_type: InputType) -> tuple[str, ...]:
    if input_type not in get_args(InputType):
        raise ValueError(f'input_type={input_type!r}: "query" and "document" are possible')
    return checked(texts)
