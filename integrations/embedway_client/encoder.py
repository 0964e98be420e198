"""Embeds texts: through a server, in this process, or there while the server is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from itertools import starmap
from typing import TYPE_CHECKING, TypeAlias, get_args

from embedway_client.embedding import EmbeddingResult, join, nothing
from embedway_client.fallback import Fallback, Way
from embedway_client.remote import Remote
from embedway_client.text import checked, cut
from embedway_upstream import InputType
from embedway_upstream.gather import gather
from embedway_upstream.part import counted_from

if TYPE_CHECKING:
    from embedway_client.line import Line
    from embedway_client.settings import Settings
    from embedway_client.space import Space

__all__ = ["Encoder", "OnProgress"]

OnProgress: TypeAlias = Callable[[int], None]

# In this process there are no requests; a step that is large enough costs nothing.
_STEP = 256


class Encoder:
    """`line` leads to the server; None is this process. `space` is what vectors must be in."""

    def __init__(self, settings: Settings, line: Line | None, space: Space) -> None:
        self._dimensions = settings.dimensions
        self._most = settings.max_concurrency
        self._report = settings.report()
        self._space = space
        self._local = settings.local()
        self._fallback = Fallback(self._local, space) if settings.fallback else None
        self._remote: Remote | None = None
        if line is not None:
            self._remote = Remote(settings.endpoint(), line, space, settings)

    def encode(
        self,
        texts: Iterable[str],
        input_type: InputType,
        batch_size: int | None = None,
        progress: OnProgress | None = None,
    ) -> EmbeddingResult:
        """One request after the other; `progress` is told how many texts are done anew."""
        whole = _checked(texts, input_type)
        if not whole:
            return nothing(self._dimensions, self._space.known.fingerprint)
        if self._remote is None:
            return self._report.embedded(self._here(whole, input_type, progress))
        way = Way(self._remote, self._fallback)
        parts = []
        for first, piece in _numbered(self._remote.pieces(whole, input_type, batch_size)):
            with counted_from(first):
                parts.append(way.encode(piece, input_type))
            if progress is not None:
                progress(len(piece))
        return self._report.embedded(join(parts))

    async def aencode(
        self,
        texts: Iterable[str],
        input_type: InputType,
        batch_size: int | None = None,
        progress: OnProgress | None = None,
    ) -> EmbeddingResult:
        """Several requests at once; the first error cancels the others."""
        whole = _checked(texts, input_type)
        if not whole:
            return nothing(self._dimensions, self._space.known.fingerprint)
        if self._remote is None:
            done = await asyncio.to_thread(self._here, whole, input_type, progress)
            return self._report.embedded(done)
        way = Way(self._remote, self._fallback)

        async def one(first: int, piece: tuple[str, ...]) -> EmbeddingResult:
            with counted_from(first):
                result = await way.aencode(piece, input_type)
            if progress is not None:
                progress(len(piece))
            return result

        pieces = self._remote.pieces(whole, input_type, batch_size)
        work = starmap(one, _numbered(pieces))
        return self._report.embedded(join(await gather(work, most=self._most)))

    def close(self) -> None:
        """Free the local model."""
        self._local.close()

    def _here(
        self, texts: tuple[str, ...], input_type: InputType, progress: OnProgress | None
    ) -> EmbeddingResult:
        if progress is None:
            return self._space.seen(self._local.encode(texts, input_type))
        parts = []
        for first, piece in _numbered(cut(texts, _STEP)):
            with counted_from(first):
                parts.append(self._local.encode(piece, input_type))
            progress(len(piece))
        return self._space.seen(join(parts))


def _numbered(pieces: Iterable[tuple[str, ...]]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Each with the number of its first text."""
    first = 0
    for piece in pieces:
        yield first, piece
        first += len(piece)


def _checked(texts: Iterable[str], input_type: InputType) -> tuple[str, ...]:
    if input_type not in get_args(InputType):
        raise ValueError(f'input_type={input_type!r}: "query" and "document" are possible')
    return checked(texts)
