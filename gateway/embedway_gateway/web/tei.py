"""`POST /embed` and `POST /rerank` as text-embeddings-inference has them."""

from __future__ import annotations

import time
from urllib.parse import parse_qs

import msgspec
import numpy as np
from numpy.typing import NDArray
from starlette.types import Receive, Scope, Send

from embedway_gateway.model import Model
from embedway_gateway.web.answer import send_answer
from embedway_gateway.web.intake import Intake
from embedway_gateway.web.patience import while_connected
from embedway_gateway.web.space import embed
from embedway_gateway.web.tei_error import TEIError
from embedway_gateway.web.tei_reader import read_embed_body, read_tei_rerank_body
from embedway_gateway.web.visit import Visit
from embedway_gateway.web.writer import write_rows_in_turns
from embedway_upstream import EmbeddingRequest, RerankRequest, RerankResponse

__all__ = ["TEIEmbed", "TEIRerank"]

# Wider than what half precision makes of a unit vector, which is then left as it is.
_UNIT = 1e-2


class TEIEmbed:
    """A plain ASGI application; raises `EmbeddingError` and `HTTPError` for those above it."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = await self._intake.enter(scope, receive)
        body = await visit.parsed(read_embed_body)
        model = _choose(visit, _name(scope, body.model), "embed")
        texts = body.texts()
        request = EmbeddingRequest(
            model.name,
            texts,
            body.kind(),
            body.dimensions,
            self._intake.deadline(),
            tenant=visit.tenant,
        )
        async with visit.charge(model, texts=len(texts)) as charge:
            response, space = await embed(model, request, receive)
            charge.spent(response.usage.total_tokens, cached=response.cached)
        begun = time.perf_counter()
        vectors = _unit(response.vectors)
        written = await write_rows_in_turns(vectors)
        model.phases.encode.took(begun, time.perf_counter())
        await send_answer(
            scope,
            send,
            body=written,
            model=model,
            response=response,
            texts=len(texts),
            # Scaled vectors are in another space than the model's.
            space=space if vectors is response.vectors else None,
        )


class TEIRerank:
    """A plain ASGI application; raises `EmbeddingError` and `HTTPError` for those above it."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = await self._intake.enter(scope, receive)
        body = await visit.parsed(read_tei_rerank_body)
        model = _choose(visit, _name(scope, body.model), "rerank")
        assert model.rerank is not None
        texts = tuple(body.texts)
        request = RerankRequest(model.name, body.query, texts, None, self._intake.deadline())
        async with visit.charge(model, texts=len(texts)) as charge:
            response = await while_connected(receive, model.rerank.send(request))
            charge.spent(response.usage.total_tokens)
        begun = time.perf_counter()
        answer = _write(response, texts if body.return_text else None)
        model.phases.encode.took(begun, time.perf_counter())
        await send_answer(
            scope, send, body=answer, model=model, response=response, texts=len(texts)
        )


def _name(scope: Scope, stated: str | None) -> str | None:
    """
    The model's name: in the body, or in the address, as `?model=`, for clients that cannot add
    a field.
    """
    asked = parse_qs(scope["query_string"].decode("latin-1")).get("model", [])
    names = {name for name in (stated, *asked) if name is not None}
    if len(names) > 1:
        raise TEIError(422, "The address and the body name different models; give one.")
    return names.pop() if names else None


def _choose(visit: Visit, name: str | None, capability: str) -> Model:
    """The model of that name; without one, the only model that can."""
    if name is not None:
        model = visit.find(name)
        if capability not in model.config.capabilities:
            raise TEIError(422, f"The model {model.name!r} does not {capability}.")
        return model
    able = [model for model in visit.models() if capability in model.config.capabilities]
    if len(able) == 1:
        return able[0]
    if not able:
        raise TEIError(404, f"No model here can {capability}.")
    names = ", ".join(model.name for model in able)
    raise TEIError(
        400,
        f"Several models can {capability}: {names}. Name one: a field 'model' in the body, or "
        "'?model=' in the address.",
    )


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The very array where all are of unit length, as nearly always; else the others scaled."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    fits = np.abs(lengths - 1) <= _UNIT
    if fits.all():
        return vectors
    # Row by row: what becomes of a text must not depend on those that are sent with it.
    return np.where(fits, vectors, vectors / lengths)


def _write(response: RerankResponse, texts: tuple[str, ...] | None) -> bytes:
    results: list[dict[str, object]] = []
    for result in response.results:
        item: dict[str, object] = {"index": result.index, "score": result.relevance_score}
        if texts is not None:
            item["text"] = texts[result.index]
        results.append(item)
    return msgspec.json.encode(results)
