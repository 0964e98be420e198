"""How full the calls are of an upstream that many callers wait for, in simulated time."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

import numpy as np
import pytest

from doubles.held import vector
from doubles.turns import turns
from embedway_gateway.layers.bound import Bounds
from embedway_gateway.layers.capacity import Capacity
from embedway_gateway.layers.coalesce import Coalesce
from embedway_gateway.layers.concurrency import Adaptive
from embedway_gateway.layers.learn import Learn, texts_of
from embedway_gateway.layers.limit import Limit
from embedway_gateway.layers.retry import Budget
from embedway_gateway.layers.route import Route
from embedway_gateway.layers.target import Target
from embedway_upstream import EmbeddingRequest, EmbeddingResponse, Usage


def now() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class Server:
    """Answers so many calls at once, each in `seconds`."""

    at_once: int
    seconds: float
    calls: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._free = asyncio.Semaphore(self.at_once)

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        async with self._free:
            await asyncio.sleep(self.seconds)
        self.calls.append(len(request.inputs))
        rows = [vector(text) for text in request.inputs]
        return EmbeddingResponse("m", np.stack(rows), Usage(1, 1), served_by="up")


class Gateway:
    """Coalesce above servers whose limits adapt; each request costs it a little time, in turn."""

    def __init__(
        self, servers: list[Server], *, most: int = 32, cost: float = 55e-6, seed: int = 11
    ) -> None:
        self._targets = []
        for number, server in enumerate(servers):
            limit = Adaptive(most=most)
            capacity = Capacity(Bounds(max_inputs=32))
            learn = Learn(server, capacity, texts_of, concurrency=limit, clock=now)
            service = Limit(learn, concurrency=limit, waiting=1000, clock=now)
            self._targets.append(
                Target(
                    f"up{number}",
                    service,
                    capacity=capacity,
                    slots=lambda limit=limit: limit.limit,
                    queueing=lambda limit=limit: limit.queueing,
                )
            )
        route = Route(self._targets, clock=now, dice=random.Random(seed))
        self._layer = Coalesce(route, route, Budget(clock=now), clock=now)
        self._cost = cost
        self._busy = 0.0
        self._number = 0

    async def ask(self) -> float:
        """Seconds until the answer."""
        self._number += 1
        text, begun = f"text {self._number:06}", now()
        await self._work()
        answer = await self._layer.send(EmbeddingRequest("m", (text,), "query"))
        assert (answer.vectors[0] == vector(text)).all()
        await self._work()
        return now() - begun

    async def crowd(self, callers: int, seconds: float) -> list[float]:
        """What as many callers wait who ask again at once; those of the second half."""
        start, took = now(), list[float]()

        async def caller() -> None:
            while now() < start + seconds:
                one = await self.ask()
                if now() > start + seconds / 2:
                    took.append(one)

        await asyncio.gather(*(caller() for _ in range(callers)))
        return took

    async def _work(self) -> None:
        self._busy = max(self._busy, now()) + self._cost
        await asyncio.sleep(self._busy - now())


@pytest.mark.parametrize(
    ("seconds", "cost"),
    [(0.005, 55e-6), (0.015, 160e-6), (0.03, 300e-6), (0.05, 600e-6), (0.1, 1e-3), (1.0, 1e-3)],
)
def test_a_serial_upstream_gets_full_calls_and_is_never_idle(seconds: float, cost: float) -> None:
    async def world() -> None:
        server = Server(1, seconds)
        gateway = Gateway([server], cost=cost)
        await gateway.crowd(64, 200 * seconds)
        # Single texts in between are what the limit would learn from.
        await gateway.crowd(1, 200 * seconds)
        server.calls.clear()
        took = await gateway.crowd(64, 200 * seconds)

        texts = sum(server.calls[100:])
        assert texts / len(server.calls[100:]) >= 29
        assert len(server.calls) >= 0.93 * 200
        assert sorted(took)[len(took) // 2] <= 2.4 * seconds

    turns(world)()


def test_several_serial_replicas_get_full_calls() -> None:
    async def world() -> None:
        servers = [Server(1, 0.015) for _ in range(3)]
        await Gateway(servers).crowd(192, 5.0)

        late = [size for one in servers for size in one.calls[len(one.calls) // 2 :]]
        assert sum(late) / len(late) >= 24
        assert all(len(one.calls) * 0.015 >= 0.9 * 5.0 for one in servers)

    turns(world)()


def test_an_upstream_that_serves_all_at_once_lets_nobody_linger() -> None:
    async def world() -> None:
        server = Server(999, 0.05)
        took = await Gateway([server]).crowd(24, 10.0)

        assert max(took) <= 0.05 * 1.2
        assert max(server.calls[len(server.calls) // 2 :]) <= 2

    turns(world)()


def test_alone_nobody_waits() -> None:
    async def world() -> None:
        took = await Gateway([Server(1, 0.005)]).crowd(1, 2.0)

        assert max(took) == pytest.approx(0.005 + 2 * 55e-6)

    turns(world)()
