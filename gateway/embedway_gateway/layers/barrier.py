"""Keeps an upstream that is quarantined for its vectors from whatever else it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from embedway_upstream import Service, WrongSpace

__all__ = ["Barrier"]

Request = TypeVar("Request")
Reply = TypeVar("Reply")


class Barrier(Generic[Request, Reply]):
    """
    Raises `WrongSpace` while there is a reason; nothing is sent then.

    Whose vectors are another model's has that one's scores and words, too. Beside reranking and
    chat nothing is compared: until the vectors were, an upstream may do both.
    """

    def __init__(
        self, inner: Service[Request, Reply], reason: Callable[[], str], *, upstream: str
    ) -> None:
        self._inner = inner
        self._reason = reason
        self._upstream = upstream

    def is_open(self) -> bool:
        """Whether a request would be sent."""
        return not self._reason()

    async def send(self, request: Request) -> Reply:
        """Send, where nothing speaks against it."""
        reason = self._reason()
        if reason:
            raise WrongSpace(reason, upstream=self._upstream)
        return await self._inner.send(request)
