"""Sends what a model answered, with who answered in the headers and in the log's line."""

from __future__ import annotations

from starlette.types import Scope, Send

from embedway_gateway.model import Model
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
) -> None:
    """
    Status 200 and `body`. The headers never say where the upstream is.

    `space` is the vector space of the vectors in the body, None where there is none to tell.
    """
    served_by = response.served_by.encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-embedway-upstream", served_by),
    ]
    if space is not None:
        headers.append((b"x-embedway-vector-space", space.encode()))
    if model.witness is not None and isinstance(response, EmbeddingResponse):
        headers.append((b"x-embedway-cache", _cached(response)))
    if response.fallback:
        headers.append((b"x-embedway-fallback", served_by))
    scope["embedway.facts"] = {
        "model": model.name,
        "upstream": response.served_by,
        "texts": texts,
        "tokens": response.usage.total_tokens,
    }
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _cached(response: EmbeddingResponse) -> bytes:
    if response.cached == len(response.vectors):
        return b"hit"
    return b"partial" if response.cached else b"miss"
