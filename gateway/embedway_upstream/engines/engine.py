"""What an engine's dialect must answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from embedway_upstream.chat import ChatRequest, ChatTask
from embedway_upstream.embedding import EmbeddingRequest, EmbeddingResponse
from embedway_upstream.engines.limit import Limits
from embedway_upstream.engines.probe import Probe
from embedway_upstream.error import EmbeddingError
from embedway_upstream.rerank import RerankRequest, RerankResponse

__all__ = ["Chatter", "Engine", "Reranker"]


class Engine(Protocol):
    """
    One server software's way of saying things.

    `path` is added to the upstream's URL. `encode` writes a body from scratch; nothing of a
    client's body is passed on. `decode` reads a 200 and raises `BadReply` when it cannot be
    what was asked for. `error` reads any other status. `limits` are what the server takes at
    once as it comes. `probes` are where it tells of itself, and a 200 at `ready` says that it
    serves.
    """

    @property
    def path(self) -> str: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def probes(self) -> tuple[Probe, ...]: ...
    @property
    def ready(self) -> str | None: ...
    def encode(self, request: EmbeddingRequest) -> bytes: ...
    def decode(self, body: bytes, request: EmbeddingRequest) -> EmbeddingResponse: ...
    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> EmbeddingError: ...


class Reranker(Protocol):
    """
    The same for ordering documents by relevance.

    `decode_rerank` gives every document that was asked for, the most relevant first, at most
    `top_n`, and raises `BadReply` where a document has no score, or two.
    """

    @property
    def rerank_path(self) -> str: ...
    @property
    def rerank_limits(self) -> Limits: ...
    def encode_rerank(self, request: RerankRequest) -> bytes: ...
    def decode_rerank(self, body: bytes, request: RerankRequest) -> RerankResponse: ...
    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> EmbeddingError: ...


class Chatter(Protocol):
    """
    The same for chat and completions, whose bodies are the client's own: `encode_chat` replaces
    the name of the model and nothing else, and there is nothing to decode.
    """

    @property
    def chat_paths(self) -> Mapping[ChatTask, str]: ...
    def encode_chat(self, request: ChatRequest) -> bytes: ...
    def chat_error(
        self, status: int, headers: Mapping[str, str], body: bytes
    ) -> EmbeddingError: ...
