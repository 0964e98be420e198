"""OCI's two 429s and its minute, through the application: who waits, and who is asked for less."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import pytest

from doubles.oci_identity import FINGERPRINT, KEY_ID, TENANCY, USER, pem, private_key
from doubles.oci_platform import TENANCY_LIMIT, OCIPlatform
from doubles.openai_upstream import OpenAIUpstream
from doubles.proven import prove
from doubles.serving import served
from doubles.time import Time
from embedway_gateway.config.schema import Config
from embedway_gateway.layers.bound import Bounds
from embedway_gateway.layers.capacity import Capacity
from embedway_gateway.layers.learn import Learn, texts_of
from embedway_gateway.layers.retry import Budget, Retry
from embedway_gateway.layers.route import Route, Target
from embedway_gateway.layers.split import Split
from embedway_gateway.web.app import Gateway, create_app
from embedway_upstream import EmbeddingRequest, Endpoint, HTTPCall, HTTPReply, OpenAI, Upstream
from embedway_upstream.credentials.principal import api_key
from embedway_upstream.platforms.oci import OCI
from embedway_upstream.testing import fake_vectors

TEXTS = [f"text number {index:03}" for index in range(100)]
BANDWIDTH = (429, "LB bandwidth limit exceeded.")
KEY = {"tenancy": TENANCY, "user": USER, "fingerprint": FINGERPRINT}


@dataclass
class World:
    engine: OpenAIUpstream = field(default_factory=OpenAIUpstream)
    oci: OCIPlatform = field(init=False)
    oci_url: str = ""
    plain_url: str = ""

    def __post_init__(self) -> None:
        self.oci = OCIPlatform(self.engine, {KEY_ID: private_key().public_key()})

    def on_oci(self, name: str, credentials: str = "prod") -> dict[str, Any]:
        url = f"{self.oci_url}/ocid1.datasciencemodeldeployment.oc1.iad.{name}"
        upstream = {"name": name, "engine": "openai", "platform": "oci", "invoke": "suffix"}
        return {**upstream, "url": url, "credentials": credentials}

    def config(self) -> Config:
        plain = {"name": "plain", "engine": "openai", "url": self.plain_url}
        ranker = self.on_oci("ranker") | {"engine": "tei"}
        login = {**KEY, "type": "oci", "key_content": pem(private_key()).decode()}
        upstreams = {
            "one": [self.on_oci("one")],
            "two": [self.on_oci("two")],
            "other tenancy": [self.on_oci("other", "other")],
            "plain": [plain],
            "both": [self.on_oci("both"), plain],
        }
        models: list[dict[str, Any]] = [
            {"name": name, "dimensions": 8, "upstreams": items} for name, items in upstreams.items()
        ]
        models.append({"name": "ranker", "capabilities": ["rerank"], "upstreams": [ranker]})
        return Config.model_validate(
            {"credentials": {"prod": login, "other": login}, "models": models}
        )


@pytest.fixture(scope="module")
def servers() -> Iterator[World]:
    world = World()
    with served(world.oci) as world.oci_url, served(world.engine) as world.plain_url:
        yield world


@pytest.fixture
def world(servers: World) -> World:
    servers.engine.reset()
    servers.oci.faults.clear()
    servers.oci.seen.clear()
    servers.oci.wait = None
    return servers


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    gateway: Gateway = create_app(world.config())
    await prove(gateway)
    world.engine.reset()
    world.oci.seen.clear()
    transport = httpx.ASGITransport(gateway)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
        yield http
    await gateway.close()


async def embed(client: httpx.AsyncClient, model: str, texts: list[str]) -> httpx.Response:
    return await client.post("/v1/embeddings", json={"model": model, "input": texts})


def require_right(response: httpx.Response, texts: list[str]) -> None:
    assert 200 == response.status_code, response.text
    rows = [item["embedding"] for item in response.json()["data"]]
    np.testing.assert_array_equal(fake_vectors(texts, 8), np.array(rows, np.float32))


async def test_a_tenancys_429_pauses_its_deployments_and_no_others(
    client: httpx.AsyncClient, world: World
) -> None:
    world.oci.faults.append((429, TENANCY_LIMIT))
    world.oci.wait = 20

    for model in ("one", "two", "one"):
        response = await embed(client, model, TEXTS[:3])
        assert 429 == response.status_code, response.text
        assert "20" == response.headers["retry-after"]
        assert "tenancy" in response.json()["error"]["message"]
    ranked = await client.post(
        "/v1/rerank", json={"model": "ranker", "query": "q", "documents": ["a"]}
    )
    assert 429 == ranked.status_code

    # Only the first was sent.
    assert 1 == len(world.oci.seen)
    for model in ("other tenancy", "plain"):
        require_right(await embed(client, model, TEXTS[:3]), TEXTS[:3])


async def test_a_model_is_served_elsewhere_while_the_tenancy_pauses(
    client: httpx.AsyncClient, world: World
) -> None:
    for _ in range(4):
        require_right(await embed(client, "both", TEXTS[:3]), TEXTS[:3])
    world.oci.faults.append((429, TENANCY_LIMIT))
    world.oci.wait = 20
    await embed(client, "one", TEXTS[:3])
    before = len(world.oci.seen)

    for _ in range(6):
        response = await embed(client, "both", TEXTS[:3])
        require_right(response, TEXTS[:3])
        assert "plain" == response.headers["x-embedway-upstream"]
    assert before == len(world.oci.seen)


async def test_bandwidth_is_the_deployments_own_and_asks_for_smaller_batches(
    client: httpx.AsyncClient, world: World
) -> None:
    world.oci.faults.append(BANDWIDTH)
    require_right(await embed(client, "one", TEXTS[:32]), TEXTS[:32])

    require_right(await embed(client, "two", TEXTS[:32]), TEXTS[:32])
    assert [32, 32] == [len(seen.body["input"]) for seen in world.engine.seen]
    world.engine.seen.clear()
    require_right(await embed(client, "one", TEXTS[:32]), TEXTS[:32])
    assert max(len(seen.body["input"]) for seen in world.engine.seen) < 20
    assert 32 == sum(len(seen.body["input"]) for seen in world.engine.seen)


@pytest.mark.parametrize("count", [33, 100])
async def test_what_is_too_large_together_is_cut_and_answered_in_order(
    client: httpx.AsyncClient, world: World, count: int
) -> None:
    world.oci.faults.extend([413])

    response = await embed(client, "one", TEXTS[:count])

    require_right(response, TEXTS[:count])
    assert count / 2 + 1 > max(len(seen.body["input"]) for seen in world.engine.seen)
    world.engine.seen.clear()
    refused = len(world.oci.seen)
    require_right(await embed(client, "one", TEXTS[:count]), TEXTS[:count])
    # The next request is cut right away.
    assert len(world.oci.seen) - refused == len(world.engine.seen) > 1


async def test_a_text_that_is_too_large_alone_is_the_callers_mistake(
    client: httpx.AsyncClient, world: World
) -> None:
    world.oci.faults.extend([413] * 3)

    response = await embed(client, "one", TEXTS[:1])

    assert 400 == response.status_code
    assert "context_length_exceeded" == response.json()["error"]["code"]
    assert 1 == len(world.oci.seen)


class Minute:
    """Carries calls to a deployment that needs a second a text; the platform waits for sixty."""

    def __init__(self, platform: OCIPlatform, time: Time) -> None:
        self.sizes: list[int] = []
        self._platform = platform
        self._time = time

    async def send(self, call: HTTPCall) -> HTTPReply:
        count = len(json.loads(call.body)["input"])
        self.sizes.append(count)
        self._time.now += min(60, count)
        if count > 60:
            self._platform.faults.append(500)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self._platform)) as http:
            reply = await http.request(
                call.method, call.url, headers=dict(call.headers), content=call.body
            )
        return HTTPReply(reply.status_code, dict(reply.headers), reply.content)


async def test_a_deployment_that_needs_a_second_a_text_answers_a_hundred() -> None:
    time = Time()
    platform = OCIPlatform(OpenAIUpstream(), {KEY_ID: private_key().public_key()})
    transport = Minute(platform, time)
    login = api_key(**KEY, key_content=pem(private_key()).decode())
    oci = OCI("https://modeldeployment.example.com/ocid1.x", invoke="suffix")
    endpoint = Endpoint(name="slow", engine=OpenAI(), platform=oci, credentials=login, dimensions=8)
    capacity = Capacity(Bounds(max_bytes=oci.max_bytes), seconds=oci.max_seconds or 0)
    leaf = Learn(Upstream(endpoint, transport, clock=time), capacity, texts_of, clock=time)
    route = Route([Target("slow", leaf, capacity=capacity)], clock=time)
    budget = Budget(clock=time)
    retry = Retry(route, budget, clock=time, sleep=time.sleep)
    split = Split(retry, route.bounds, budget, clock=time)
    request = EmbeddingRequest("m", tuple(TEXTS), deadline=time.now + 300)

    response = await split.send(request)
    np.testing.assert_array_equal(fake_vectors(TEXTS, 8), response.vectors)
    assert [100, 50, 50] == transport.sizes

    transport.sizes.clear()
    response = await split.send(EmbeddingRequest("m", tuple(TEXTS)))
    np.testing.assert_array_equal(fake_vectors(TEXTS, 8), response.vectors)
    assert max(transport.sizes) <= 30
