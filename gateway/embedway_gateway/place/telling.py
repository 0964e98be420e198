"""Which vector space does a server tell with its vectors?"""

from __future__ import annotations

from embedway_upstream import EmbeddingRequest, EmbeddingResponse, Endpoint
from embedway_upstream.call import HTTPCall, HTTPReply
from embedway_upstream.credentials.credentials import Credentials
from embedway_upstream.platforms.platform import Platform

__all__ = ["Telling"]


class Telling:
    """An endpoint that remembers what the last reply said; only our gateways say it."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.vector_space: str | None = None

    @property
    def name(self) -> str:
        """The endpoint's."""
        return self._endpoint.name

    @property
    def platform(self) -> Platform:
        """The endpoint's."""
        return self._endpoint.platform

    @property
    def credentials(self) -> Credentials:
        """The endpoint's."""
        return self._endpoint.credentials

    def call(self, request: EmbeddingRequest) -> HTTPCall:
        """As the endpoint writes it."""
        return self._endpoint.call(request)

    def read(self, reply: HTTPReply, request: EmbeddingRequest) -> EmbeddingResponse:
        """As the endpoint reads it; raises what that does."""
        response = self._endpoint.read(reply, request)
        self.vector_space = reply.headers.get("x-embedway-vector-space") or None
        return response
