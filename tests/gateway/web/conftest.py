"""The application in this process, over a stand-in upstream on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from doubles.openai_upstream import OpenAIUpstream
from doubles.proven import prove
from doubles.serving import served
from embedway_gateway.config.schema import Config
from embedway_gateway.web.app import Gateway, create_app


@pytest.fixture(scope="session")
def upstream_server() -> Iterator[tuple[OpenAIUpstream, str]]:
    app = OpenAIUpstream()
    with served(app) as url:
        yield app, url


@pytest.fixture
def upstream(upstream_server: tuple[OpenAIUpstream, str]) -> OpenAIUpstream:
    """Well behaved, and without memory of earlier tests."""
    app, _ = upstream_server
    app.reset()
    return app


@pytest.fixture
def config(upstream_server: tuple[OpenAIUpstream, str]) -> Config:
    _, url = upstream_server
    return Config.model_validate(
        {
            "server": {"max_body_bytes": 3_000_000},
            "credentials": {"key": {"type": "bearer", "token": "s3cret-token"}},
            "models": [
                {
                    "name": "org/model",
                    "aliases": ["short"],
                    "dimensions": 8,
                    "matryoshka": [4],
                    "prompts": {"query": "query: ", "document": ""},
                    "upstreams": [
                        {
                            "name": "one",
                            "engine": "openai",
                            "url": url,
                            "model": "served-name",
                            "credentials": "key",
                            "max_inputs": 16,
                            "timeout": "2s",
                        }
                    ],
                }
            ],
        }
    )


@pytest.fixture
async def app(config: Config, upstream: OpenAIUpstream) -> AsyncIterator[Gateway]:
    gateway = create_app(config)
    await prove(gateway)
    upstream.reset()
    yield gateway
    await gateway.close()


@pytest.fixture
async def client(app: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client
