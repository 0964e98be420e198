"""A stand-in for Cohere's API: `/v2/embed` and `/v2/rerank`, and faults on request."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from doubles.openai_upstream import Seen, _lifespan, _reply
from doubles.rerank_upstream import relevance
from embedway_upstream.testing import fake_vectors


@dataclass
class Refusal:
    """An answer that is none."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    says: str = ""


@dataclass
class CohereUpstream:
    """
    An ASGI application. `faults` are taken one a request, then it behaves.

    A fault is a `Refusal`, or one of `hang`, `html`, `nan`, `dropped`, `duplicated`, `dimension`,
    `tokens`.
    """

    dimensions: int = 8
    faults: deque[Any] = field(default_factory=deque)
    seen: list[Seen] = field(default_factory=list)

    def reset(self) -> None:
        """Well behaved again, and without memory."""
        self.faults.clear()
        self.seen.clear()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        request = json.loads(body)
        self.seen.append(Seen(scope["path"], headers, request))
        fault = self.faults.popleft() if self.faults else None
        if fault == "hang":
            await asyncio.sleep(3600)
        if fault == "html":
            await _reply(send, 200, b"<html>welcome to the proxy</html>")
            return
        if isinstance(fault, Refusal):
            body = json.dumps({"message": f"secret words {fault.says}"}).encode()
            await _reply(send, fault.status, body, fault.headers)
            return
        answer = self._ranked if scope["path"] == "/v2/rerank" else self._embedded
        await _reply(send, 200, json.dumps(answer(request, fault)).encode())

    def _embedded(self, request: dict[str, Any], fault: Any) -> dict[str, Any]:
        texts = [typed(request["input_type"], text) for text in request["texts"]]
        vectors = fake_vectors(texts, self.dimensions)
        if fault == "nan":
            vectors[-1, 0] = np.nan
        rows: list[Any] = vectors.tolist()
        if fault == "dropped":
            rows.pop()
        if fault == "dimension":
            rows = [one[:-1] for one in rows]
        if fault == "tokens":
            rows = [[one, one] for one in rows]
        tokens = sum(len(text.split()) for text in request["texts"])
        return {
            "id": "1",
            "embeddings": {"float": rows},
            "texts": request["texts"],
            "meta": {"billed_units": {"input_tokens": tokens}},
            "response_type": "embeddings_by_type",
        }

    def _ranked(self, request: dict[str, Any], fault: Any) -> dict[str, Any]:
        scores = [relevance(request["query"], text) for text in request["documents"]]
        scored = sorted(enumerate(scores), key=lambda pair: -pair[1])
        if fault == "dropped":
            scored.pop()
        if fault == "duplicated":
            scored[0] = scored[-1]
        if fault == "nan":
            scored[0] = (scored[0][0], float("nan"))
        results = [{"index": index, "relevance_score": score} for index, score in scored]
        return {"id": "1", "results": results, "meta": {"billed_units": {"search_units": 1}}}


def typed(input_type: str, text: str) -> str:
    """A query and a document of the same words have different vectors, as Cohere's have."""
    return f"{input_type}: {text}"
