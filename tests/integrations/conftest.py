"""A server that speaks OpenAI's embeddings as our gateway does, and what the tests ask it with."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from doubles.openai_upstream import OpenAIUpstream
from doubles.serving import free_port, served
from embedway_client import Client, EmbeddingResult, Pace


@dataclass
class Reply:
    """What the server answers instead of vectors."""

    status: int
    body: bytes
    headers: dict[str, str]


@dataclass
class StandIn:
    """
    Wraps the upstream's double: adds the gateway's headers, answers errors in full, and counts
    connections. `replies` are taken one a request, then `vectors` answers.
    """

    url: str = ""
    vectors: OpenAIUpstream = field(default_factory=OpenAIUpstream)
    headers: dict[str, str] = field(default_factory=dict)
    replies: deque[Reply] = field(default_factory=deque)
    connections: set[Any] = field(default_factory=set)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return len(self.asked)

    def error(self, status: int, /, headers: dict[str, str] | None = None, **error: Any) -> None:
        """Answer the next request with an error in OpenAI's form."""
        body = {"error": {"message": "No.", "type": "error", "param": None, "code": None, **error}}
        self.raw(status, json.dumps(body).encode(), headers)

    def raw(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.replies.append(Reply(status, body, headers or {}))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await self.vectors(scope, receive, send)
        self.connections.add(scope["client"])
        headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        self.asked.append((scope["path"], headers))
        if self.replies:
            return await self._reply(self.replies.popleft(), receive, send)

        async def add_headers(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                extra = [(key.encode(), value.encode()) for key, value in self.headers.items()]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        async def remember() -> Any:
            message = await receive()
            if not message.get("more_body"):
                whole.append(message.get("body", b""))
                self.bodies.append(json.loads(b"".join(whole)))
            else:
                whole.append(message["body"])
            return message

        whole: list[bytes] = []
        return await self.vectors(scope, remember, add_headers)

    async def _reply(self, reply: Reply, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        lines = {"content-type": "application/json", "content-length": str(len(reply.body))}
        lines |= reply.headers
        await send(
            {
                "type": "http.response.start",
                "status": reply.status,
                "headers": [(key.encode(), value.encode()) for key, value in lines.items()],
            }
        )
        await send({"type": "http.response.body", "body": reply.body})


@dataclass
class Stage:
    """One listening server for all tests, and whoever plays on it."""

    app: Any = None
    address: str = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    stage = Stage(OpenAIUpstream())
    with served(stage) as stage.address:
        yield stage


@pytest.fixture
def server(stage: Stage) -> StandIn:
    stage.app = StandIn(f"{stage.address}/v1")
    return stage.app


@pytest.fixture
def nowhere() -> str:
    """An address where nothing listens."""
    return f"http://127.0.0.1:{free_port()}/v1"


@dataclass
class Sleeper:
    """Sleeps without waiting, and remembers how long; chance is always 1."""

    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def async_sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    @property
    def pace(self) -> Pace:
        return Pace(sleep=self.sleep, async_sleep=self.async_sleep, jitter=lambda: 1.0)


@pytest.fixture
def sleeper() -> Sleeper:
    return Sleeper()


Ask = Callable[..., EmbeddingResult]


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Calls a client, blocking, or in an event loop of its own."""
    if request.param == "sync":
        return Client.encode

    def run(client: Client, texts: Any, **options: Any) -> EmbeddingResult:
        return asyncio.run(client.aencode(texts, **options))

    return run


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on the address and key of whoever runs it."""
    monkeypatch.delenv("EMBEDWAY_BASE_URL", raising=False)
    monkeypatch.delenv("EMBEDWAY_API_KEY", raising=False)
