"""Refuses an answer whose vectors may be of two spaces, or of another than is told."""

from __future__ import annotations

from collections.abc import Callable

from embedway_upstream import EmbeddingRequest, EmbeddingResponse, Service, WrongSpace

__all__ = ["SpaceChanged", "Steady", "require_same"]


class SpaceChanged(WrongSpace):
    """The model was replaced while it was asked; asked again, it answers in its new space."""


class Steady:
    """
    Raises `SpaceChanged` where the model's vector space changed while the request was on its way.

    `space` tells the fingerprint; None is not known yet, and may become known.
    """

    def __init__(
        self,
        inner: Service[EmbeddingRequest, EmbeddingResponse],
        space: Callable[[], str | None],
    ) -> None:
        self._inner = inner
        self._space = space

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        """The answer, all of it of the space that is the model's now."""
        before = self._space()
        response = await self._inner.send(request)
        require_same(before, self._space())
        return response


def require_same(before: str | None, after: str | None) -> None:
    """Raise `SpaceChanged` unless what was made in between is of the space `after`."""
    if before is not None and before != after:
        raise SpaceChanged("the model's vector space changed while the request was being answered")
