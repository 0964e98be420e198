"""What callers see when a platform refuses: one of three replicas, or all of them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from doubles.aicore_api import AICoreAPI
from doubles.engine_server import EngineServer
from doubles.engine_tei import TEI
from doubles.lasting import Lasting
from doubles.oci_identity import FINGERPRINT, KEY_ID, TENANCY, USER, pem, private_key
from doubles.oci_platform import TENANCY_LIMIT, OCIPlatform
from doubles.openai_upstream import OpenAIUpstream
from doubles.serving import serving
from embedway_gateway.config.schema import Config
from embedway_gateway.metric import Metrics
from embedway_gateway.web.app import create_app
from embedway_upstream.testing import fake_vectors

CALLERS = 30
Upstream = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """
    `spoil` makes a replica fail; what 30 callers get when all three do, and the words in it that
    name the cure. `attempts` are their calls, at most: 30, and 16 of the retry budget.
    """

    kind: type
    spoil: Callable[[Any], None]
    status: int
    code: str
    part: str = ""
    retry: str = "true"
    retry_after: str | None = None
    attempts: int = CALLERS + 20
    """
    Of 90 without a budget: 10 retries a second, and those sent elsewhere while another upstream
    still seemed well, which depends on how many calls were under way when the first one failed.
    """


def limit(words: str, wait: int | None) -> Callable[[OCIPlatform], None]:
    def spoil(platform: OCIPlatform) -> None:
        platform.wait = wait
        platform.faults = Lasting([(429, words)])

    return spoil


def refuse(status: int) -> Callable[[Any], None]:
    def spoil(platform: Any) -> None:
        platform.faults = Lasting([status])

    return spoil


def skew(seconds: float) -> Callable[[OCIPlatform], None]:
    """The platform's clock goes right; it is ours that is that much behind."""

    def spoil(platform: OCIPlatform) -> None:
        platform.clock = lambda: time.time() + seconds

    return spoil


def expire(api: AICoreAPI, *, token_server: int | None) -> None:
    """The token holds no more; the token server answers so, or gives tokens that do not hold."""
    if token_server is not None:
        api.token_faults = Lasting([token_server])
    api.rotate()
    vars(api)["accepts"] = lambda _authorization: False


def overload(server: TEI) -> None:
    server.permits = 0


MATRIX = {
    "429 of the tenancy": Row(
        OCIPlatform, limit(TENANCY_LIMIT, 20), 429, "rate_limit_exceeded", "tenancy",
        retry_after="20", attempts=CALLERS,
    ),
    "429 of the bandwidth": Row(
        OCIPlatform, limit("LB bandwidth limit exceeded.", None), 429, "rate_limit_exceeded"
    ),
    "429 of TEI, overloaded": Row(TEI, overload, 429, "rate_limit_exceeded"),
    "a clock that is late": Row(OCIPlatform, skew(600), 502, "upstream_error", "clock", "false"),
    "a clock that is early": Row(OCIPlatform, skew(-600), 502, "upstream_error", "clock", "false"),
    "policy": Row(OCIPlatform, refuse(404), 502, "upstream_error", "policy", "false"),
    "platform down": Row(OCIPlatform, refuse(503), 502, "upstream_error"),
    "token server down": Row(AICoreAPI, partial(expire, token_server=503), 502, "upstream_error"),
    "login revoked": Row(
        AICoreAPI, partial(expire, token_server=401), 502, "upstream_error", retry="false"
    ),
    # Each is sent once more with the next token.
    "tokens never hold": Row(
        AICoreAPI, partial(expire, token_server=None), 502, "upstream_error", retry="false",
        attempts=2 * CALLERS + 16,
    ),
}  # fmt: skip
CASES = [pytest.param(row, id=name) for name, row in MATRIX.items()]


class World:
    """Three replicas with credentials of their own, and a caller of the gateway before them."""

    def __init__(self, replicas: list[Any], client: httpx.AsyncClient) -> None:
        self.replicas = replicas
        self._client = client

    @property
    def calls(self) -> int:
        return sum(len(replica.seen) for replica in self.replicas)

    async def ask(self) -> list[httpx.Response]:
        """So many callers at once; what is 200 is right."""
        asked = [[f"text {n} of caller {one}" for n in range(2)] for one in range(CALLERS)]
        replies = await asyncio.gather(
            *(self._client.post("/v1/embeddings", json={"model": "m", "input": it}) for it in asked)
        )
        for texts, reply in zip(asked, replies, strict=True):
            if reply.status_code == 200:
                rows = np.array([item["embedding"] for item in reply.json()["data"]], np.float32)
                np.testing.assert_array_equal(rows, self._right(texts))
        return list(replies)

    def _right(self, texts: list[str]) -> Any:
        first = self.replicas[0]
        return first.vectors(texts) if isinstance(first, EngineServer) else fake_vectors(texts, 8)


@asynccontextmanager
async def world_of(kind: type) -> AsyncIterator[World]:
    """It has answered before."""
    async with AsyncExitStack() as stack:
        replicas, credentials, upstreams = [], {}, []
        for number in range(3):
            replica, login = _made(kind)
            url = await stack.enter_async_context(serving(replica))
            upstreams.append(_upstream(replica, url, f"r{number}"))
            if login:
                login = {name: value.format(url=url) for name, value in login.items()}
                credentials[f"r{number}"] = login
            replicas.append(replica)
        model = {"name": "m", "dimensions": 8, "upstreams": upstreams}
        config = Config.model_validate({"credentials": credentials, "models": [model]})
        gateway = create_app(config, metrics=Metrics(CollectorRegistry()))
        url = await stack.enter_async_context(serving(gateway))
        limits = httpx.Limits(max_connections=None)
        client = httpx.AsyncClient(base_url=url, limits=limits, timeout=30)
        world = World(replicas, await stack.enter_async_context(client))
        for _ in range(2):
            assert {200} == {reply.status_code for reply in await world.ask()}
        yield world


def _made(kind: type) -> tuple[Any, dict[str, str]]:
    if kind is OCIPlatform:
        login = {"type": "oci", "tenancy": TENANCY, "user": USER, "fingerprint": FINGERPRINT}
        keys = {KEY_ID: private_key().public_key()}
        return OCIPlatform(OpenAIUpstream(), keys), {
            **login, "key_content": pem(private_key()).decode()
        }  # fmt: skip
    if kind is AICoreAPI:
        login = {"type": "oauth2", "client_id": "client", "client_secret": "planted-secret"}
        return AICoreAPI(), {**login, "token_url": "{url}/oauth/token"}
    return TEI(), {}


def _upstream(replica: Any, url: str, name: str) -> Upstream:
    upstream = {"name": name, "engine": "tei", "url": url, "timeout": "10s"}
    if isinstance(replica, OCIPlatform):
        upstream |= {"platform": "oci", "credentials": name, "url": f"{url}/ocid1.x"}
    if isinstance(replica, AICoreAPI):
        replica.add(1, url, name="c", model="m")
        upstream |= {"engine": "infinity", "platform": "aicore", "credentials": name}
        upstream["url"] = f"{url}/v2/inference/deployments/d1"
    return upstream


@pytest.mark.parametrize("row", CASES)
async def test_one_of_three_is_refused_and_then_all(row: Row) -> None:
    async with world_of(row.kind) as world:
        row.spoil(world.replicas[2])
        replies = await world.ask()

        assert {200: CALLERS} == Counter(reply.status_code for reply in replies)

        for replica in world.replicas[:2]:
            row.spoil(replica)
        calls = world.calls
        replies = await world.ask()

        assert {row.status: CALLERS} == Counter(reply.status_code for reply in replies)
        assert world.calls - calls <= row.attempts
        for reply in replies:
            require_told(reply, row)


def require_told(reply: httpx.Response, row: Row) -> None:
    error = reply.json()["error"]
    assert row.code == error["code"]
    assert row.part in error["message"]
    assert row.retry == reply.headers["x-should-retry"]
    assert row.retry_after == reply.headers.get("retry-after")
    assert "planted" not in reply.text
    assert "127.0.0.1" not in reply.text


async def test_tokens_that_expire_are_renewed_unnoticed() -> None:
    async with world_of(AICoreAPI) as world:
        for replica in world.replicas:
            replica.rotate()
        before = sum(len(replica.forms) for replica in world.replicas)
        replies = await world.ask()

        assert {200: CALLERS} == Counter(reply.status_code for reply in replies)
        assert before + 3 >= sum(len(replica.forms) for replica in world.replicas) > before
