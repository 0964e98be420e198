"""`POST /v1/rerank` and `/v2/rerank`, in Cohere's shape."""

from __future__ import annotations

import time
import uuid

import msgspec
from starlette.types import Receive, Scope, Send

from embedway_gateway.web.answer import send_answer
from embedway_gateway.web.error import HTTPError
from embedway_gateway.web.intake import Intake
from embedway_gateway.web.patience import while_connected
from embedway_upstream import RerankRequest, RerankResponse
from embedway_upstream.engines.form import UNREADABLE

__all__ = ["MAX_DOCUMENTS", "Rerank", "RerankBody", "read_rerank_body"]

# Cohere recommends no more than 1,000; ten times that is still one request's work.
MAX_DOCUMENTS = 10_000


class _Document(msgspec.Struct):
    text: str


class RerankBody(msgspec.Struct):
    """The fields of Cohere's v1 and v2 that are understood; others are ignored."""

    model: str
    query: str
    documents: list[str | _Document]
    top_n: int | None = None
    return_documents: bool | None = None

    def texts(self) -> tuple[str, ...]:
        """The documents as texts, whichever form each has."""
        return tuple(item if isinstance(item, str) else item.text for item in self.documents)


_decode = msgspec.json.Decoder(RerankBody).decode


def read_rerank_body(body: bytes) -> RerankBody:
    """A valid body, or `HTTPError` 400. Texts are never repeated in a message."""
    try:
        read = _decode(body)
    except msgspec.ValidationError as error:
        # msgspec's messages name types and places, never values.
        raise _invalid(f"The body is not a rerank request: {error}.", _field(error)) from None
    except UNREADABLE:
        raise _invalid("The body is not JSON in UTF-8.", None) from None
    if not read.query:
        raise _invalid("query is an empty string.", "query")
    if not read.documents:
        raise _invalid("documents is an empty list; give at least one.", "documents")
    if len(read.documents) > MAX_DOCUMENTS:
        raise _invalid(f"at most {MAX_DOCUMENTS} documents are taken.", "documents")
    if "" in (texts := read.texts()):
        raise _invalid(f"documents[{texts.index('')}] is an empty string.", "documents")
    if read.top_n is not None and read.top_n < 1:
        raise _invalid("top_n must be at least 1.", "top_n")
    return read


class Rerank:
    """A plain ASGI application; raises `EmbeddingError` and `HTTPError` for those above it."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = await self._intake.enter(scope, receive)
        body = await visit.parsed(read_rerank_body)
        model = visit.find(body.model)
        if model.rerank is None:
            raise _invalid(f"The model {model.name!r} does not rerank.", "model")
        texts = body.texts()
        deadline = self._intake.deadline()
        request = RerankRequest(model.name, body.query, texts, body.top_n, deadline)
        async with visit.charge(model, texts=len(texts)) as charge:
            response = await while_connected(receive, model.rerank.send(request))
            charge.spent(response.usage.total_tokens)
        begun = time.perf_counter()
        answer = _write(response, body.model, texts if body.return_documents else None)
        model.phases.encode.took(begun, time.perf_counter())
        await send_answer(
            scope,
            send,
            body=answer,
            model=model,
            response=response,
            texts=len(texts),
            # One that is given several requests to share out has to know whether their scores are
            # on one scale.
            engine=model.scorer(response.served_by),
        )


def _write(response: RerankResponse, model: str, texts: tuple[str, ...] | None) -> bytes:
    results: list[dict[str, object]] = []
    for result in response.results:
        item: dict[str, object] = {
            "index": result.index,
            "relevance_score": result.relevance_score,
        }
        if texts is not None:
            item["document"] = {"text": texts[result.index]}
        results.append(item)
    usage = response.usage
    return msgspec.json.encode(
        {
            "id": str(uuid.uuid4()),
            "model": model,
            "results": results,
            "usage": {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.total_tokens},
            "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
        }
    )


def _field(error: msgspec.ValidationError) -> str | None:
    """The top field that a message of msgspec's is about: `… - at `$.documents[0]``."""
    names = ("model", "query", "documents", "top_n", "return_documents")
    said = str(error)
    return next((name for name in names if f"$.{name}" in said or f"`{name}`" in said), None)


def _invalid(message: str, param: str | None) -> HTTPError:
    return HTTPError(400, message, param=param, code="invalid_request")
