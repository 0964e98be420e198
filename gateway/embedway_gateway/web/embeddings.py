"""`POST /v1/embeddings`: bytes in, bytes out."""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.types import Receive, Scope, Send

from embedway_gateway.model import Model, Models
from embedway_gateway.web.body import read_json_body
from embedway_gateway.web.error import HTTPError
from embedway_gateway.web.patience import while_connected
from embedway_gateway.web.reader import read_embedding_body
from embedway_gateway.web.writer import write_embeddings
from embedway_upstream import EmbeddingRequest, EmbeddingResponse

__all__ = ["Embeddings"]


class Embeddings:
    """A plain ASGI application; raises `EmbeddingError` and `HTTPError` for those above it."""

    def __init__(
        self,
        models: Models,
        *,
        max_body_bytes: int,
        request_timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._models = models
        self._max_body_bytes = max_body_bytes
        self._request_timeout = request_timeout
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = read_embedding_body(await read_json_body(scope, receive, self._max_body_bytes))
        model = self._models.find(body.model)
        if "embed" not in model.config.capabilities:
            raise HTTPError(400, f"The model {model.name!r} does not embed.", param="model")
        request = EmbeddingRequest(
            model.name,
            body.inputs,
            body.input_type,
            body.dimensions,
            self._clock() + self._request_timeout,
        )
        response = await while_connected(receive, model.service.send(request))
        answer = write_embeddings(response, model=body.model, base64=body.base64)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(answer)).encode()),
            *_facts(response, model),
        ]
        scope["embedway.facts"] = {
            "model": model.name,
            "upstream": response.served_by,
            "texts": len(body.inputs),
            "tokens": response.usage.total_tokens,
        }
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


def _facts(response: EmbeddingResponse, model: Model) -> list[tuple[bytes, bytes]]:
    """Who answered, and in which space; never where the upstream is."""
    facts = [(b"x-embedway-upstream", response.served_by.encode())]
    space = model.vector_space
    if space is not None:
        facts.append((b"x-embedway-vector-space", space.encode()))
    if response.fallback:
        facts.append((b"x-embedway-fallback", response.served_by.encode()))
    return facts
