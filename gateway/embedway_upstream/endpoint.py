"""How one deployment is addressed: an engine on a platform with credentials, without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from embedway_upstream.call import HTTPCall, HTTPReply
from embedway_upstream.check import check
from embedway_upstream.error import (
    BatchTooLarge,
    EmbeddingError,
    InvalidRequest,
    UpstreamDefect,
    UpstreamRefused,
)
from embedway_upstream.platforms.error import AmbiguousFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from embedway_upstream.credentials.credentials import Credentials
    from embedway_upstream.embedding import EmbeddingRequest, EmbeddingResponse
    from embedway_upstream.engines.engine import Engine
    from embedway_upstream.platforms.platform import Platform

__all__ = ["Endpoint", "ReadError"]

ReadError: TypeAlias = "Callable[[int, Mapping[str, str], bytes], EmbeddingError]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """
    Writes calls and reads replies; who carries them, synchronously or not, is another's choice.

    `dimensions` is checked on every reply; None accepts any size. `path` replaces the engine's.
    """

    name: str
    engine: Engine
    platform: Platform
    credentials: Credentials
    dimensions: int | None = None
    path: str | None = None

    def call(self, request: EmbeddingRequest) -> HTTPCall:
        """
        The call for a request, signed now: make one for every attempt.

        Raises `BatchTooLarge` for what the platform would refuse after reading all of it, and
        `CredentialsError` when the credentials were never refreshed.
        """
        return self.post(self.path or self.engine.path, self.engine.encode(request))

    def post(self, path: str, body: bytes, *, stream: bool = False) -> HTTPCall:
        """The call for a body that is written already; raises what `call` does."""
        url = self.platform.address(path, stream=stream)
        self._require_fit(len(body))
        accept = "text/event-stream" if stream else "application/json"
        headers = {"content-type": "application/json", "accept": accept}
        headers.update(self.platform.headers(path, stream=stream))
        headers.update(self.credentials.sign("POST", url, headers, body))
        return HTTPCall("POST", url, headers, body)

    def read(self, reply: HTTPReply, request: EmbeddingRequest) -> EmbeddingResponse:
        """The reply's vectors, checked; raises the `EmbeddingError` that it stands for."""
        try:
            self.require_ok(reply)
            response = self.engine.decode(reply.body, request)
            dimensions = request.dimensions or self.dimensions
            return _served(check(response, request, dimensions), self.name)
        except EmbeddingError as error:
            error.upstream = self.name
            raise

    def require_ok(self, reply: HTTPReply, *, read: ReadError | None = None) -> None:
        """
        Raise the `EmbeddingError` that a status other than 200 stands for; `read` is the engine's
        reading of it, where the task has one of its own.
        """
        if reply.status != 200:
            error = self._error(reply, read or self.engine.error)
            error.upstream = self.name
            raise error

    def _require_fit(self, size: int) -> None:
        most = self.platform.max_bytes
        if most is not None and size > most:
            raise BatchTooLarge(
                f"the request has {size} bytes; the upstream's platform takes {most}",
                upstream=self.name,
            )

    def _error(self, reply: HTTPReply, read: ReadError) -> EmbeddingError:
        status, headers, body = reply.status, reply.headers, reply.body
        said = self.platform.error(status, headers, body)
        if said is None:
            return read(status, headers, body)
        if isinstance(said, AmbiguousFailure):
            # The platform passes on what an engine raised: the engine may know that it was the
            # request's fault.
            known = read(status, headers, body)
            if isinstance(known, InvalidRequest | UpstreamDefect | UpstreamRefused):
                return known
        return said


def _served(response: EmbeddingResponse, name: str) -> EmbeddingResponse:
    # As `replace` does it, for a third of the time.
    return type(response)(
        response.model, response.vectors, response.usage, name, response.truncated
    )
