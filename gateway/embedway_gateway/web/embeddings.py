"""`POST /v1/embeddings`: bytes in, bytes out."""

from __future__ import annotations

import time

from starlette.types import Receive, Scope, Send

from embedway_gateway.web.answer import send_answer
from embedway_gateway.web.error import HTTPError
from embedway_gateway.web.intake import Intake
from embedway_gateway.web.reader import read_embedding_body
from embedway_gateway.web.space import embed
from embedway_gateway.web.writer import write_embeddings_in_turns
from embedway_upstream import EmbeddingRequest

__all__ = ["Embeddings"]


class Embeddings:
    """A plain ASGI application; raises `EmbeddingError` and `HTTPError` for those above it."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = await self._intake.enter(scope, receive)
        body = await visit.parsed(read_embedding_body)
        model = visit.find(body.model)
        if "embed" not in model.config.capabilities:
            raise HTTPError(400, f"The model {model.name!r} does not embed.", param="model")
        request = EmbeddingRequest(
            model.name,
            body.inputs,
            body.input_type,
            body.dimensions,
            self._intake.deadline(),
            tenant=visit.tenant,
        )
        async with visit.charge(model, texts=len(body.inputs)) as charge:
            response, space = await embed(model, request, receive)
            charge.spent(response.usage.total_tokens, cached=response.cached)
        begun = time.perf_counter()
        written = await write_embeddings_in_turns(response, model=body.model, base64=body.base64)
        model.phases.encode.took(begun, time.perf_counter())
        await send_answer(
            scope,
            send,
            body=written,
            model=model,
            response=response,
            texts=len(body.inputs),
            space=space,
        )
