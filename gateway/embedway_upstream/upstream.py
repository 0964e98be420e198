"""A deployment that is called over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedway_upstream.error import EmbeddingError

if TYPE_CHECKING:
    from embedway_upstream.call import Transport
    from embedway_upstream.embedding import EmbeddingRequest, EmbeddingResponse
    from embedway_upstream.endpoint import Endpoint

__all__ = ["Upstream"]


class Upstream:
    """The leaf of the stack: one attempt at one deployment, its reply checked."""

    def __init__(self, endpoint: Endpoint, transport: Transport) -> None:
        self._endpoint = endpoint
        self._transport = transport

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        """Call the deployment once. Raises an `EmbeddingError` that names it."""
        call = self._endpoint.call(request)
        try:
            reply = await self._transport.send(call)
        except EmbeddingError as error:
            error.upstream = self._endpoint.name
            raise
        return self._endpoint.read(reply, request)
