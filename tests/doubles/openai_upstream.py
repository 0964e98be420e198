"""A stand-in for a server that speaks OpenAI's embeddings, and misbehaves on request."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from embedway_upstream.testing import fake_vectors


@dataclass
class Seen:
    """One request that the server got."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class OpenAIUpstream:
    """
    An ASGI application. `faults` are taken one a request, then it behaves.

    A fault is a status (`503`), a status with headers (`(429, {"retry-after": "3"})`), or one of
    the words in `_spoil` and `hang`, `reset`, `html`, `truncated`, `floats`, `huge`.
    """

    dimensions: int = 8
    salt: str = ""
    """Texts are salted before they are embedded: another salt is another vector space."""
    length: Any = 1.0
    """Of the vectors, or of each: (n, 1)."""
    poison: dict[str, str] = field(default_factory=dict)
    """What it gives for a text, always: `nan`, `infinite`, `null`, `no vector`, `zeros`."""
    faults: deque[Any] = field(default_factory=deque)
    seen: list[Seen] = field(default_factory=list)
    running: int = 0
    most_running: int = 0
    delay: float = 0.0

    def reset(self) -> None:
        """Well behaved again, and without memory."""
        self.salt, self.length, self.delay, self.most_running = "", 1.0, 0.0, 0
        self.poison.clear()
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
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(self.delay)
            await self._answer(fault, request, send)
        finally:
            self.running -= 1

    async def _answer(self, fault: Any, request: dict[str, Any], send: Any) -> None:
        if isinstance(fault, int):
            fault = (fault, {})
        if isinstance(fault, tuple):
            await _reply(send, fault[0], b'{"error":{"message":"secret words"}}', fault[1])
        elif fault == "hang":
            await asyncio.sleep(3600)
        elif fault == "reset":
            # Half an answer, then the connection closes: uvicorn does so on an exception.
            await send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [(b"content-length", b"1000")],
                }
            )
            await send({"type": "http.response.body", "body": b'{"da', "more_body": True})
            raise ConnectionAbortedError
        elif fault == "html":
            await _reply(send, 200, b"<html>welcome to the proxy</html>")
        elif fault == "truncated":
            await _reply(send, 200, self._body(request, None)[:-40])
        else:
            await _reply(send, 200, self._body(request, fault))

    def _body(self, request: dict[str, Any], fault: Any) -> bytes:
        texts = request["input"]
        texts = [texts] if isinstance(texts, str) else texts
        vectors = fake_vectors([self.salt + text for text in texts], self.dimensions)
        vectors *= self.length
        if fault == "nan":
            vectors[-1, 0] = np.nan
        elif fault == "zeros":
            vectors[0] = 0
        elif fault == "dimension":
            vectors = vectors[:, :-1]
        floats = fault in {"floats", "null"} or request.get("encoding_format") != "base64"
        data = [
            {
                "object": "embedding",
                "index": index,
                "embedding": row.tolist() if floats else _base64(row),
            }
            for index, row in enumerate(vectors)
        ]
        if fault == "null":
            data[0]["embedding"][0] = None
        if fault == "bad base64":
            data[0]["embedding"] = "@@@@"
        if fault == "odd bytes":
            data[0]["embedding"] = base64.b64encode(b"12345").decode()
        if fault == "ragged":
            data[0]["embedding"] = _base64(vectors[0, :-1])
        for item, text in zip(data, texts, strict=True):
            _poison(item, vectors[item["index"]], self.poison.get(text))
        data = _reorder(data, fault)
        tokens = sum(len(text.split()) for text in texts)
        answer = {
            "object": "list",
            "data": data,
            "model": "whatever",
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
        if fault == "huge usage":
            answer["usage"] = {"prompt_tokens": 2**63, "total_tokens": 2**63}
        return json.dumps(answer).encode()


def _poison(item: dict[str, Any], row: Any, word: str | None) -> None:
    if word == "null":
        item["embedding"] = [None, *row.tolist()[1:]]
    elif word == "no vector":
        item["embedding"] = None
    elif word is not None:
        changed = row * 0 if word == "zeros" else row.copy()
        if word != "zeros":
            changed[0] = {"nan": np.nan, "infinite": np.inf}[word]
        floats = isinstance(item["embedding"], list)
        item["embedding"] = changed.tolist() if floats else _base64(changed)


def _reorder(data: list[dict[str, Any]], fault: Any) -> list[dict[str, Any]]:
    if fault == "shuffled":
        return data[::-1]
    if fault == "dropped":
        return data[:-1]
    if fault == "duplicated":
        return [data[0], *data[:-1]] if len(data) > 1 else [*data, *data]
    if fault == "extra":
        return [*data, {**data[0], "index": len(data)}]
    if fault == "unnumbered":
        return [{key: value for key, value in item.items() if key != "index"} for item in data]
    return data


def _base64(row: Any) -> str:
    return base64.b64encode(np.ascontiguousarray(row, "<f4").tobytes()).decode()


async def _reply(
    send: Any, status: int, body: bytes, headers: dict[str, str] | None = None
) -> None:
    lines = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    lines += [(key.encode(), value.encode()) for key, value in (headers or {}).items()]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
