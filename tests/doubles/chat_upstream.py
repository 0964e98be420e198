"""A stand-in for a server that chats in OpenAI's shape, event by event when it is told to."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any

# Written as no encoder of ours would: blanks, escapes, a name inside a text and inside an object.
REPLY = (
    b'{"id": "chatcmpl-1",  "object":"chat.completion", "meta":{"model": "inner"},\n'
    b' "model" : "odsc-llm", "choices":[{"index":0,"finish_reason":"stop","message":'
    b'{"role":"assistant","content":"Gr\\u00fc\\u00dfe, \\"model\\": \\"x\\""}}],'
    b' "usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7, "extra":1.50}}'
)
WORDS = ("Two", " roads", " diverged")


def events() -> list[bytes]:
    """As vLLM streams them; a comment and a field that nobody needs among them."""
    chunks = []
    for index, word in enumerate(WORDS):
        choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": index}
        chunks.append({**chunk, "model": "odsc-llm", "choices": [choice]})
    usage = {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
    chunks.append({"id": "c", "model": "odsc-llm", "choices": [], "usage": usage})
    lines = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks]
    return [b": ping\r\n\r\n" + lines[0], *lines[1:], b"data: [DONE]\n\n"]


@dataclass
class ChatUpstream:
    """
    An ASGI application. A fault is a status with a body, or one of the words `html`, `whole`
    (no stream although one was asked for), `break` (within the third event), `hang` (before the
    head) and `still` (after two events).

    With `held` events are sent one for each `release()`.
    """

    faults: deque[Any] = field(default_factory=deque)
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    held: bool = False
    hung_up: threading.Event = field(default_factory=threading.Event)
    _permits: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def reset(self) -> None:
        """Well behaved again, and without memory."""
        self.held = False
        self._permits = threading.Semaphore(0)
        self.hung_up.clear()
        for memory in (self.faults, self.paths, self.headers, self.bodies):
            memory.clear()

    def release(self) -> None:
        """Let one more event go."""
        self._permits.release()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.paths.append(scope["path"])
        self.headers.append({key.decode(): value.decode() for key, value in scope["headers"]})
        self.bodies.append(body)
        answer = asyncio.create_task(self._answer(json.loads(body), send))
        gone = asyncio.create_task(receive())
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            self.hung_up.set()
            answer.cancel()
        gone.cancel()
        if answer.done():
            answer.result()

    async def _answer(self, request: dict[str, Any], send: Any) -> None:
        fault = self.faults.popleft() if self.faults else None
        if fault == "hang":
            await asyncio.sleep(3600)
        if isinstance(fault, tuple):
            await _reply(send, *fault)
        elif fault == "html":
            await _reply(send, 200, b"<html>welcome to the proxy</html>", b"text/html")
        elif request.get("stream") and fault != "whole":
            await self._stream(fault, send)
        else:
            await _reply(send, 200, REPLY)

    async def _stream(self, fault: Any, send: Any) -> None:
        kind = [(b"content-type", b"text/event-stream"), (b"x-secret", b"of the upstream")]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        for index, event in enumerate(events()):
            if index == 2 and fault == "break":
                half = event[: len(event) // 2]
                await send({"type": "http.response.body", "body": half, "more_body": True})
                raise ConnectionAbortedError
            if index == 2 and fault == "still":
                await asyncio.sleep(3600)
            if self.held:
                while not self._permits.acquire(blocking=False):  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _reply(send: Any, status: int, body: bytes, kind: bytes = b"application/json") -> None:
    lines = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})
