"""Sends what a model answered, with who answered in the headers and in the log's line."""

from __future__ import annotations

from functools import lru_cache

from starlette.types import Scope, Send

from embedway_gateway.model import Model
from embedway_gateway.web.whole import Head, whole
from embedway_upstream import EmbeddingResponse, RerankResponse

__all__ = ["send_answer"]


async def send_answer(
    scope: Scope,
    send: Send,
    *,
    body: bytes,
    model: Model,
    response: EmbeddingResponse | RerankResponse,
    texts: int,
    space: str | None = None,
    engine: str | None = None,
) -> None:
    """
    Status 200 and `body`. The headers never say where the upstream is.

    `space` is the vector space of the vectors in the body, `engine` that of the scores; None where
    there is none to tell.
    """
    cached = None
    if model.witness is not None and isinstance(response, EmbeddingResponse):
        cached = _cached(response)
    scope["embedway.facts"] = {
        "model": model.name,
        "upstream": response.served_by,
        "texts": texts,
        "tokens": response.usage.total_tokens,
    }
    await send(whole(_head(response.served_by, space, cached, response.fallback, engine), body))


# As many as a large configuration has upstreams, and each as it answers from the cache.
@lru_cache(maxsize=1024)
def _head(
    served_by: str,
    space: str | None,
    cached: bytes | None,
    fallback: bool,
    engine: str | None,
) -> Head:
    upstream = served_by.encode()
    headers = [(b"content-type", b"application/json"), (b"x-embedway-upstream", upstream)]
    if space is not None:
        headers.append((b"x-embedway-vector-space", space.encode()))
    if cached is not None:
        headers.append((b"x-embedway-cache", cached))
    if engine is not None:
        headers.append((b"x-embedway-engine", engine.encode()))
    if fallback:
        headers.append((b"x-embedway-fallback", upstream))
    return Head(headers)


def _cached(response: EmbeddingResponse) -> bytes:
    if response.cached == len(response.vectors):
        return b"hit"
    return b"partial" if response.cached else b"miss"
