"""A deployment that is called over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, Protocol, TypeAlias, TypeVar

from embedway_upstream.credentials.renewal import Renewal
from embedway_upstream.error import EmbeddingError, UpstreamDefect, UpstreamTimeout
from embedway_upstream.platforms.error import AmbiguousFailure

if TYPE_CHECKING:
    from embedway_upstream.call import HTTPCall, HTTPReply, Transport
    from embedway_upstream.credentials.credentials import Credentials
    from embedway_upstream.platforms.platform import Platform

__all__ = ["Exchange", "Upstream", "Watch", "timed_out"]

Request = TypeVar("Request")
Reply = TypeVar("Reply")
Asked = TypeVar("Asked", contravariant=True)
Answered = TypeVar("Answered", covariant=True)

_ALL_OF_IT = 0.95

Watch: TypeAlias = Callable[[float, float, float, float], None]
"""Told of a call that was answered: when it was begun, signed, answered, and its reply read."""


class Exchange(Protocol[Asked, Answered]):
    """Writes a call for a request and reads its reply: an `Endpoint`, for whatever task."""

    @property
    def name(self) -> str: ...
    @property
    def platform(self) -> Platform: ...
    @property
    def credentials(self) -> Credentials: ...
    def call(self, request: Asked, /) -> HTTPCall: ...
    def read(self, reply: HTTPReply, request: Asked, /) -> Answered: ...


class Upstream(Generic[Request, Reply]):
    """
    The leaf of the stack: one attempt at one deployment, its reply checked.

    Credentials are refreshed off the event loop, before they expire. A call that is refused with
    401 is signed afresh, after a forced refresh, and sent once more: the token may have been
    revoked, the key replaced, the clock set. Where that is refused too, the next refusals within
    seconds are taken as they are.
    """

    def __init__(
        self,
        endpoint: Exchange[Request, Reply],
        transport: Transport,
        *,
        clock: Callable[[], float] = time.monotonic,
        watch: Watch | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._transport = transport
        self._clock = clock
        self._watch = watch
        self._renewal = Renewal(endpoint.credentials, clock=clock)

    async def send(self, request: Request) -> Reply:
        """Call the deployment. Raises an `EmbeddingError` that names it."""
        try:
            await self._renewal.ready()
            seen, begun = self._renewal.forced, self._clock()
            reply, signed = await self._call(request)
            if reply.status == 401 and await self._renewal.renew(seen):
                begun = self._clock()
                reply, signed = await self._call(request)
                self._renewal.rest.after(reply.status)
            answered = self._clock()
            with timed_out(self._endpoint.platform, answered - begun):
                read = self._endpoint.read(reply, request)
            if self._watch is not None:
                self._watch(begun, signed, answered, self._clock())
        except EmbeddingError as error:
            error.upstream = self._endpoint.name
            raise
        else:
            return read

    async def _call(self, request: Request) -> tuple[HTTPReply, float]:
        """And when it was signed."""
        call = self._endpoint.call(request)
        signed = self._clock()
        try:
            return await self._transport.send(call), signed
        except EmbeddingError as error:
            # No answer tells the id under which the platform may know the request.
            sent = call.headers.get("opc-request-id")
            if sent:
                error.detail = f"{error.detail}, opc-request-id {sent}".removeprefix(", ")
            raise


@contextmanager
def timed_out(platform: Platform, took: float) -> Iterator[None]:
    """
    Raise `UpstreamTimeout` for a failure that may be the platform's impatience, when the call
    took all of the `took` seconds that it allows: which of the two it was is told by nothing else.
    """
    try:
        yield
    # A defect, too, where the engine takes a 500 that it does not know for its own.
    except (AmbiguousFailure, UpstreamDefect) as error:
        most = platform.max_seconds
        if most is None or took < most * _ALL_OF_IT:
            raise
        raise UpstreamTimeout(
            f"the model took all of the {most:g} seconds that the platform allows; "
            "send fewer texts at once (max_inputs)",
            detail=error.detail,
        ) from None
