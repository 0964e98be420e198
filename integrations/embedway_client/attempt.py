"""When a request is tried again, and how long after: a conversation without I/O."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeAlias, TypeVar

from embedway_upstream import EmbeddingError, HTTPCall, HTTPReply, UpstreamRefused

__all__ = [
    "Answer",
    "Attempts",
    "Dialect",
    "Pace",
    "Ready",
    "Renew",
    "Renewed",
    "Said",
    "Step",
    "Wait",
    "attempts",
    "converse",
    "converse_async",
]

_FIRST_SECONDS = 0.5
_LONGEST_SECONDS = 8.0
# A server that asks for more is better told on to the caller, who sees `retry_after`.
_MOST_PATIENCE = 60.0

Request_ = TypeVar("Request_", contravariant=True)
Response_ = TypeVar("Response_", covariant=True)


class Dialect(Protocol[Request_, Response_]):
    """What writes calls and reads replies: an `Endpoint`, or a `RerankEndpoint`."""

    def call(self, request: Request_, /) -> HTTPCall: ...
    def read(self, reply: HTTPReply, request: Request_, /) -> Response_: ...


@dataclass(frozen=True, slots=True)
class Wait:
    """Asks for a pause."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Ready:
    """Asks for credentials that can sign; answered with the number of renewals so far."""


@dataclass(frozen=True, slots=True)
class Renew:
    """Asks to renew refused credentials; answered with whether to call again."""

    seen: int
    """The number of renewals when the call was signed."""


@dataclass(frozen=True, slots=True)
class Renewed:
    """Tells with what status the call after a renewal was answered."""

    status: int


@dataclass(frozen=True, slots=True)
class Answer(Generic[Response_]):
    """A response, and the reply's headers, named in lower case."""

    response: Response_
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Time and chance, so that tests need not wait."""

    sleep: Callable[[float], None] = time.sleep
    async_sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = field(default=random.random)


Step: TypeAlias = HTTPCall | Wait | Ready | Renew | Renewed
Said: TypeAlias = HTTPReply | int | None
Attempts: TypeAlias = Generator[Step, Said, Answer[Response_]]


def attempts(
    dialect: Dialect[Request_, Response_],
    request: Request_,
    *,
    retries: int,
    jitter: Callable[[], float],
    renews: bool = False,
) -> Attempts[Response_]:
    """
    Yields calls to send and pauses to make; is sent the replies, or thrown what prevented one.

    At most `retries` calls after the first, each signed afresh. With `renews`, the credentials
    are made ready before a call, and renewed once when it is refused with 401. Raises the last
    error, which names the server's request id where there is one.
    """
    tried = 0
    while True:
        headers: Mapping[str, str] = {}
        try:
            reply = yield from _call(dialect, request, renews=renews)
            headers = reply.headers
            return Answer(dialect.read(reply, request), headers)
        except EmbeddingError as error:
            _identify(error, headers)
            pause = _pause(error, tried, jitter)
            most = retries if error.most_retries is None else min(retries, error.most_retries)
            if tried >= most or not _again(error, headers) or pause > _MOST_PATIENCE:
                raise
        tried += 1
        yield Wait(pause)


def converse(steps: Attempts[Response_], act: Callable[[Step], Said]) -> Answer[Response_]:
    """Carry a conversation out, blocking; `act` does what a step asks for."""
    try:
        step = next(steps)
        while True:
            try:
                said = act(step)
            except EmbeddingError as error:
                step = steps.throw(error)
            else:
                step = steps.send(said)
    except StopIteration as stop:
        answer: Answer[Response_] = stop.value
        return answer


async def converse_async(
    steps: Attempts[Response_], act: Callable[[Step], Awaitable[Said]]
) -> Answer[Response_]:
    """Carry a conversation out on the running event loop."""
    try:
        step = next(steps)
        while True:
            try:
                said = await act(step)
            except EmbeddingError as error:
                step = steps.throw(error)
            else:
                step = steps.send(said)
    except StopIteration as stop:
        answer: Answer[Response_] = stop.value
        return answer


def _call(
    dialect: Dialect[Request_, Response_], request: Request_, *, renews: bool
) -> Generator[Step, Said, HTTPReply]:
    seen = (yield Ready()) if renews else None
    reply = yield dialect.call(request)
    assert isinstance(reply, HTTPReply)
    if isinstance(seen, int) and reply.status == 401 and (yield Renew(seen)):
        reply = yield dialect.call(request)
        assert isinstance(reply, HTTPReply)
        yield Renewed(reply.status)
    return reply


def _again(error: EmbeddingError, headers: Mapping[str, str]) -> bool:
    asked = headers.get("x-should-retry")
    if asked in {"true", "false"}:
        return asked == "true"
    # It may be retried at another deployment; here is none.
    return error.retryable and not isinstance(error, UpstreamRefused)


def _pause(error: EmbeddingError, tried: int, jitter: Callable[[], float]) -> float:
    if error.retry_after is not None:
        return error.retry_after
    # Full jitter: clients that failed together do not come back together.
    return jitter() * min(_LONGEST_SECONDS, _FIRST_SECONDS * 2.0**tried)


def _identify(error: EmbeddingError, headers: Mapping[str, str]) -> None:
    """Put the id under which the server logged the request into what the user sees."""
    request_id = headers.get("x-request-id") or headers.get("opc-request-id") or ""
    if request_id and request_id.isascii() and request_id.isprintable():
        error.args = (f"{error.message} (request id {request_id[:128]})",)
