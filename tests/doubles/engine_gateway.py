"""A gateway in this process over stand-ins for engines, asked through the openai client."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import openai
from numpy.typing import NDArray

from doubles.engine_columns import COLUMNS
from doubles.engine_server import EngineServer
from doubles.oci_identity import FINGERPRINT, KEY_ID, TENANCY, USER, pem, private_key
from doubles.oci_platform import OCIPlatform
from doubles.openai_upstream import _lifespan
from doubles.proven import prove
from embedway_gateway.config.schema import Config
from embedway_gateway.web.app import Gateway, create_app

MODEL = "org/model"


@dataclass
class Street:
    """An ASGI application: each stand-in at its own first segment of the path."""

    houses: dict[str, Any] = field(default_factory=dict)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        name, _, rest = scope["path"].lstrip("/").partition("/")
        await self.houses[name]({**scope, "path": f"/{rest}"}, receive, send)


@dataclass(frozen=True)
class Caller:
    """What a client of the gateway has."""

    app: Gateway
    http: httpx2.AsyncClient
    openai: openai.AsyncOpenAI
    server: Any

    async def embed(self, texts: Sequence[str] | str, **more: Any) -> NDArray[np.float32]:
        """The vectors, through the client."""
        given: Any = texts if isinstance(texts, str) else list(texts)
        answer = await self.openai.embeddings.create(model=MODEL, input=given, **more)
        return rows_of(answer.data)

    async def begin(self) -> None:
        """Compare vector spaces, as the server does when it starts, and forget what that asked."""
        await prove(self.app)
        self.server.seen.clear()

    async def post(self, path: str = "/v1/embeddings", **body: Any) -> httpx2.Response:
        """As no client would, with whatever body."""
        return await self.http.post(path, json={"model": MODEL, **body})


def rows_of(data: Sequence[Any]) -> NDArray[np.float32]:
    """Of an answer's items, whichever form was asked for."""
    rows = [item.embedding for item in data]
    if isinstance(rows[0], str):
        rows = [np.frombuffer(base64.b64decode(one), "<f4") for one in rows]
    return np.array(rows, np.float32)


@dataclass
class Town:
    """Where the stand-ins are, and the gateways over them."""

    url: str
    street: Street
    key_file: Path

    @asynccontextmanager
    async def gateway(
        self,
        column: str,
        server: EngineServer,
        *,
        upstream: Mapping[str, Any] | None = None,
        token: str | None = None,
        **model: Any,
    ) -> AsyncIterator[Caller]:
        """Over one stand-in; in the end nothing may have been odd in what it was sent."""
        item = self.upstream(column, server, **(upstream or {}))
        logins = {**self.logins(), "key": {"type": "bearer", "token": token or "planted-token"}}
        if token is not None:
            item["credentials"] = "key"
        if "capabilities" not in model:
            model["dimensions"] = server.dimensions
        config = {
            "server": {"max_body_bytes": 64_000_000},
            "credentials": logins,
            "models": [{"name": MODEL, "upstreams": [item], **model}],
        }
        async with calling(Config.model_validate(config), server) as caller:
            yield caller
        assert [] == server.odd

    def upstream(self, column: str, server: EngineServer, **more: Any) -> dict[str, Any]:
        """Configured as the column says, and placed in the street."""
        kind = COLUMNS[column]
        name = more.get("name", "up")
        item = {
            "name": name,
            "engine": kind.engine,
            "platform": kind.platform,
            "url": f"{self.url}/{name}",
            "model": server.model,
            **kind.more,
            **more,
        }
        house: Any = server
        if kind.platform == "oci":
            house = OCIPlatform(server, {KEY_ID: private_key().public_key()})
            item["credentials"] = "prod"
        self.street.houses[name] = house
        return item

    def logins(self) -> dict[str, Any]:
        """The `credentials` of a configuration."""
        self.key_file.write_bytes(pem(private_key()))
        identity = {"tenancy": TENANCY, "user": USER, "fingerprint": FINGERPRINT}
        return {"prod": {"type": "oci", "key_file": str(self.key_file), **identity}}


@asynccontextmanager
async def calling(config: Config, server: Any = None) -> AsyncIterator[Caller]:
    """The clients of a gateway with this configuration."""
    app = create_app(config)
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://gateway") as http:
        client = openai.AsyncOpenAI(
            base_url="http://gateway/v1", api_key="unused", http_client=http, max_retries=0
        )
        yield Caller(app, http, client, server)
    await app.close()
