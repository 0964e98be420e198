"""How one deployment is asked to rerank: the same address, another task."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from embedway_upstream.check import check_rerank
from embedway_upstream.error import EmbeddingError

if TYPE_CHECKING:
    from embedway_upstream.call import HTTPCall, HTTPReply
    from embedway_upstream.credentials.credentials import Credentials
    from embedway_upstream.endpoint import Endpoint
    from embedway_upstream.engines.engine import Reranker
    from embedway_upstream.platforms.platform import Platform
    from embedway_upstream.rerank import RerankRequest, RerankResponse

__all__ = ["RerankEndpoint"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankEndpoint:
    """
    Writes rerank calls and reads their replies. `endpoint` says where and as whom, `engine` how;
    the endpoint's `path`, where it has one, replaces the engine's.
    """

    endpoint: Endpoint
    engine: Reranker

    @property
    def name(self) -> str:
        """The upstream's."""
        return self.endpoint.name

    @property
    def platform(self) -> Platform:
        """The endpoint's."""
        return self.endpoint.platform

    @property
    def credentials(self) -> Credentials:
        """The endpoint's."""
        return self.endpoint.credentials

    def call(self, request: RerankRequest) -> HTTPCall:
        """The call for a request, signed now; raises what `Endpoint.call` does."""
        path = self.endpoint.path or self.engine.rerank_path
        return self.endpoint.post(path, self.engine.encode_rerank(request))

    def read(self, reply: HTTPReply, request: RerankRequest) -> RerankResponse:
        """The results, checked; raises the `EmbeddingError` that the reply stands for."""
        try:
            self.endpoint.require_ok(reply)
            response = self.engine.decode_rerank(reply.body, request)
            return replace(check_rerank(response, request), served_by=self.name)
        except EmbeddingError as error:
            error.upstream = self.name
            raise
