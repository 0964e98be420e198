"""A stand-in for servers that rerank: in Cohere's shape, or in TEI's."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from doubles.openai_upstream import _lifespan, _reply


def relevance(query: str, document: str) -> float:
    """Between 0 and 1, always the same for the same pair."""
    digest = hashlib.sha256(f"{query}\0{document}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32


@dataclass
class RerankUpstream:
    """Answers at `/rerank` as TEI does, elsewhere in Cohere's shape; `faults` go first."""

    tei: bool = False
    faults: deque[Any] = field(default_factory=deque)
    seen: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

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
        request = json.loads(body)
        self.seen.append(request)
        self.paths.append(scope["path"])
        fault = self.faults.popleft() if self.faults else None
        if isinstance(fault, int):
            await _reply(send, fault, b'{"error":"secret words"}')
            return
        texts = request["texts" if self.tei else "documents"]
        scored = [(index, relevance(request["query"], text)) for index, text in enumerate(texts)]
        _spoil(scored, fault)
        scored.sort(key=lambda pair: -pair[1])
        answer: Any
        if self.tei:
            answer = [{"index": index, "score": score} for index, score in scored]
        else:
            answer = {
                "results": [{"index": index, "relevance_score": score} for index, score in scored]
            }
        await _reply(send, 200, json.dumps(answer).encode())


def _spoil(scored: list[tuple[int, float]], fault: Any) -> None:
    index, score = scored[0]
    match fault:
        case "dropped":
            scored.pop()
        case "duplicated":
            scored[0] = scored[-1]
        case "misnumbered":
            scored[0] = (len(scored), score)
        case "nan":
            scored[0] = (index, float("nan"))
        case "huge":
            scored[0] = (index, float("inf"))
