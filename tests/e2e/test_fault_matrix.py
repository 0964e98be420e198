"""What callers see of each way that replicas fail: one of three, or all of them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from doubles.engine_server import vectors_of
from doubles.engine_tei import TEI
from doubles.replica import Fault, Replica
from doubles.serving import serving
from embedway_gateway.config.schema import Config
from embedway_gateway.metric import Metrics
from embedway_gateway.web.app import create_app

HTML = b"<html>502 Bad Gateway, secret words</html>"
CALLERS = 30
# Of one attempt.
TIMEOUT = 1.0
# Of a request: whoever waits for replicas that hang is told by then.
DEADLINE = 6.0


@dataclass(frozen=True)
class Row:
    """
    What 30 callers at once get while all three replicas fail so; while one does, they get their
    vectors. `attempts` are the calls that it makes of the replicas altogether, at most: those of
    the requests, and 16 of the retry budget (10 at first, and 20 % of the requests or 10 a second).
    `code` may be either of two.
    """

    fault: Fault
    status: int
    code: str = ""
    retry: str = "true"
    retry_after: str | None = None
    attempts: int = CALLERS + 16
    seconds: float = 1.5


MATRIX = {
    # The way there.
    "refused": Row("refused", 503, "upstream_unreachable"),
    "reset": Row("reset", 503, "upstream_unreachable"),
    "reset in the body": Row("reset in body", 503, "upstream_unreachable"),
    "ends in the body": Row("short", 503, "upstream_unreachable"),
    "no answer": Row("hung up", 503, "upstream_unreachable"),
    "not HTTP": Row("garbage", 502, "upstream_error"),
    "hangs": Row(
        "hang",
        504,
        "upstream_timeout or deadline_exceeded",
        attempts=CALLERS + 16 + 10 * 4,
        seconds=DEADLINE + 0.5,
    ),
    "slow": Row("slow", 200),
    # What it says.
    "429": Row(429, 429, "rate_limit_exceeded"),
    "429 for a minute": Row(
        (429, {"retry-after": "60"}, b""), 429, "rate_limit_exceeded", retry_after="60"
    ),
    "500": Row(500, 502, "upstream_error"),
    "502 of a proxy": Row((502, {"content-type": "text/html"}, HTML), 502, "upstream_error"),
    "503": Row(503, 502, "upstream_error"),
    "504": Row(504, 504, "upstream_timeout"),
    "401": Row(401, 502, "upstream_error", "false"),
    "403": Row(403, 502, "upstream_error", "false"),
    "404": Row(404, 502, "upstream_error", "false"),
    "redirect": Row(
        (302, {"location": "http://127.0.0.1:1/"}, b""), 502, "upstream_error", "false"
    ),
    # What it says with 200.
    "HTML": Row((200, {"content-type": "text/html"}, HTML), 502, "upstream_error"),
    "nothing": Row("nothing", 502, "upstream_error"),
    "truncated": Row("truncated", 502, "upstream_error"),
    "NaN": Row("nan", 502, "upstream_error"),
    "zeros": Row("zeros", 502, "upstream_error"),
    "another dimension": Row("dimension", 502, "upstream_error"),
    "one too few": Row("dropped", 502, "upstream_error"),
    "one number twice": Row("duplicated", 502, "upstream_error"),
}
CASES = [pytest.param(row, id=name) for name, row in MATRIX.items()]


@dataclass
class World:
    """Three replicas of TEI, and a caller of the gateway before them."""

    replicas: list[Replica]
    client: httpx.AsyncClient

    @property
    def calls(self) -> int:
        return sum(replica.calls for replica in self.replicas)

    async def spoil(self, fault: Fault | None, *numbers: int) -> None:
        """Let these replicas fail so from now on."""
        for number in numbers:
            if fault == "refused":
                await self.replicas[number].refuse()
            else:
                await self.replicas[number].listen()
                self.replicas[number].always(fault)

    async def ask(self, count: int = CALLERS) -> list[httpx.Response]:
        """So many callers at once, each with texts of its own; what is 200 is right."""
        asked = [[f"text {n} of caller {one}" for n in range(one % 3 + 1)] for one in range(count)]
        replies = await asyncio.gather(
            *(self.client.post("/v1/embeddings", json={"model": "m", "input": it}) for it in asked)
        )
        for texts, reply in zip(asked, replies, strict=True):
            if reply.status_code == 200:
                rows = [item["embedding"] for item in reply.json()["data"]]
                right = vectors_of(texts, model="model")
                np.testing.assert_array_equal(np.array(rows, np.float32), right)
        return list(replies)


@asynccontextmanager
async def world_of(
    *, host: str | None = None, strange: tuple[int, ...] = ()
) -> AsyncIterator[World]:
    """Replicas in `strange` are at `host`."""
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(Replica(TEI())) for _ in range(3)]
        upstreams = [
            {
                "name": f"replica-{number}",
                "engine": "tei",
                "url": host if number in strange else replica.url,
                "timeout": TIMEOUT,
                "insecure": True,
            }
            for number, replica in enumerate(replicas)
        ]
        model = {"name": "m", "dimensions": 8, "upstreams": upstreams}
        server = {"request_timeout": DEADLINE}
        config = Config.model_validate({"server": server, "models": [model]})
        app = create_app(config, metrics=Metrics(CollectorRegistry()))
        url = await stack.enter_async_context(serving(app))
        limits = httpx.Limits(max_connections=None)
        client = httpx.AsyncClient(base_url=url, limits=limits, timeout=30)
        yield World(replicas, await stack.enter_async_context(client))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """It has answered before."""
    async with world_of() as world:
        for _ in range(2):
            assert {200: 9} == statuses(await world.ask(9))
        yield world


def statuses(replies: list[httpx.Response]) -> dict[int, int]:
    return dict(Counter(reply.status_code for reply in replies))


def require_told(replies: list[httpx.Response], row: Row) -> None:
    """All are what the row says, in OpenAI's form."""
    for reply in replies:
        if row.status == 200:
            continue
        error = reply.json()["error"]
        assert {"message", "type", "param", "code"} == set(error)
        assert error["code"] in row.code.split(" or "), error
        assert row.retry == reply.headers["x-should-retry"]
        assert row.retry_after == reply.headers.get("retry-after")
        assert "secret" not in reply.text
        assert "127.0.0.1" not in reply.text
        assert reply.headers["x-request-id"]


@pytest.mark.parametrize("row", CASES)
async def test_one_of_three_fails(world: World, row: Row) -> None:
    """Nobody notices: first one of those that follow, then the one that defines the space."""
    for number in (2, 0):
        await world.spoil(row.fault, number)

        assert {200: CALLERS} == statuses(await world.ask())
        await world.spoil(None, number)


@pytest.mark.parametrize("row", CASES)
async def test_the_first_of_three_never_was_well(row: Row) -> None:
    """Whatever it says instead of its vectors: the others agree, and serve."""
    async with world_of() as world:
        await world.spoil(row.fault, 0)

        assert {200: CALLERS} == statuses(await world.ask())


@pytest.mark.parametrize("row", CASES)
async def test_all_three_fail_and_are_well_again(world: World, row: Row) -> None:
    """Nobody waits for a breaker to close: while all are open, they are asked all the same."""
    await world.spoil(row.fault, 0, 1, 2)
    calls, begun = world.calls, time.monotonic()
    replies = await world.ask()

    assert {row.status: CALLERS} == statuses(replies)
    require_told(replies, row)
    assert world.calls - calls <= row.attempts
    assert time.monotonic() - begun < row.seconds

    await world.spoil(None, 0, 1, 2)
    assert {200: CALLERS} == statuses(await world.ask())


async def test_a_gateway_that_stood_still_does_not_blame_its_upstreams(world: World) -> None:
    """Longer than an attempt may take, in the midst of everything, and with one that is broken."""
    await world.spoil("nan", 0)
    loop = asyncio.get_running_loop()
    pauses = [loop.call_later(seconds, time.sleep, TIMEOUT * 1.2) for seconds in (0.02, 0.04)]

    assert {200: CALLERS} == statuses(await world.ask())
    assert all(pause.when() < loop.time() for pause in pauses)


async def test_a_host_that_has_no_address() -> None:
    host = "http://replica.invalid"
    async with world_of(host=host, strange=(1,)) as world:
        assert {200: CALLERS} == statuses(await world.ask())
    async with world_of(host=host, strange=(0, 1, 2)) as world:
        replies = await world.ask()

    assert {503: CALLERS} == statuses(replies)
    require_told(replies, Row("", 503, "upstream_unreachable"))
