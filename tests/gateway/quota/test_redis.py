"""Limits that a real Redis server counts, for all who share it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from doubles.redis_server import PASSWORD, RedisServer, running_redis
from embedway_gateway.metric import Metrics
from embedway_gateway.quota.meter import Meter, Seats, remaining
from embedway_gateway.quota.quota import Demand, QuotaDown, Verdict
from embedway_gateway.quota.redis import RedisQuota


@asynccontextmanager
async def quota(
    server: RedisServer, *, refuse: bool = False, lease: float = 60.0, patience: float = 5.0
) -> AsyncIterator[RedisQuota]:
    one = RedisQuota(
        server.url, Metrics(), timeout=patience, connections=8, refuse=refuse, lease=lease
    )
    one.start()
    try:
        yield one
    finally:
        await one.close()


def tokens(limit: int, amount: int) -> Demand:
    return Demand((Meter("key:a:tokens", "tokens", limit),), (amount,), ())


async def until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


async def admitted(one: RedisQuota, demand: Demand, times: int) -> int:
    verdicts = await asyncio.gather(*(one.admit(demand) for _ in range(times)))
    return sum(verdict.blocker is None for verdict in verdicts)


async def test_two_who_share_it_have_one_limit(redis_server: RedisServer) -> None:
    demand = Demand((Meter("key:a:requests", "requests", 100),), (1,), ())
    async with quota(redis_server) as one, quota(redis_server) as two:
        begun = time.monotonic()
        both = await asyncio.gather(admitted(one, demand, 90), admitted(two, demand, 90))
        refilled = (time.monotonic() - begun) * 100 / 60

    assert 100 <= sum(both) <= 101 + refilled


async def test_it_says_how_long_to_wait_and_what_is_left(redis_server: RedisServer) -> None:
    async with quota(redis_server) as one:
        first = await one.admit(tokens(60, 50))
        refused = await one.admit(tokens(60, 20))

    assert remaining(tokens(60, 1).meters[0], first.resets[0]) == 10
    assert refused.blocker == tokens(60, 1).meters[0]
    assert refused.wait == pytest.approx(10.0, abs=0.5)


async def test_it_is_corrected_after_the_answer(redis_server: RedisServer) -> None:
    demand = tokens(1000, 900)
    async with quota(redis_server) as one:
        one.settle(demand, await one.admit(demand), [-800])
        with redis_server.open() as client:
            await until(lambda: client.pttl("embedway:1:quota:key:a:tokens") < 10_000)
        assert (await one.admit(tokens(1000, 890))).blocker is None
        assert (await one.admit(tokens(1000, 100))).blocker is not None


async def test_seats_are_shared_and_given_back(redis_server: RedisServer) -> None:
    demand = Demand((), (), (Seats("key:a:seats", 2),))
    async with quota(redis_server) as one, quota(redis_server) as two:
        first, _ = await one.admit(demand), await two.admit(demand)
        refused = await two.admit(demand)
        assert refused.blocker == demand.seats[0]
        one.settle(demand, first, [])
        with redis_server.open() as client:
            await until(lambda: client.zcard("embedway:1:quota:key:a:seats") == 1)
        assert (await two.admit(demand)).blocker is None


async def test_seats_of_the_dead_are_free_after_their_lease(redis_server: RedisServer) -> None:
    demand = Demand((), (), (Seats("key:a:seats", 1),))
    async with quota(redis_server, lease=0.5) as dead, quota(redis_server) as other:
        # It renews nothing any more.
        assert dead._task is not None
        dead._task.cancel()
        begun = time.monotonic()
        await dead.admit(demand)
        while (await other.admit(demand)).blocker is not None:
            assert time.monotonic() - begun < 10
            await asyncio.sleep(0.01)
        assert time.monotonic() - begun >= 0.5


async def test_seats_of_the_living_are_kept_for_longer_than_a_lease(
    redis_server: RedisServer,
) -> None:
    demand = Demand((), (), (Seats("key:a:seats", 1),))
    async with quota(redis_server, lease=1.2) as one:
        verdict = await one.admit(demand)
        end = time.monotonic() + 2.0
        while time.monotonic() < end:
            assert (await one.admit(demand)).blocker is not None
            await asyncio.sleep(0.05)
        one.settle(demand, verdict, [])
        with redis_server.open() as client:
            await until(lambda: client.zcard("embedway:1:quota:key:a:seats") == 0)


async def test_what_is_full_again_leaves_nothing_behind(redis_server: RedisServer) -> None:
    async with quota(redis_server) as one:
        await one.admit(tokens(600_000, 1000))
        with redis_server.open() as client:
            assert client.pttl("embedway:1:quota:key:a:tokens") <= 102
            await until(lambda: client.dbsize() == 0)


async def test_without_it_each_process_counts_for_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    demand = tokens(60, 40)
    with running_redis(tmp_path) as server:
        async with quota(server) as one:
            await one.admit(demand)
            server.kill()
            with caplog.at_level(logging.WARNING, "embedway.gateway"):
                alone = await one.admit(demand)
            assert alone.blocker is None
            assert (await one.admit(demand)).blocker is not None
            one.settle(demand, alone, [-40])
            assert (await one.admit(demand)).blocker is None

    assert "each process counts for itself" in caplog.text
    assert PASSWORD not in caplog.text


async def test_without_it_nobody_is_admitted_where_that_is_wanted(tmp_path: Path) -> None:
    with running_redis(tmp_path) as server:
        async with quota(server, refuse=True) as one:
            assert (await one.admit(tokens(60, 1))).blocker is None
            server.kill()
            with pytest.raises(QuotaDown):
                await one.admit(tokens(60, 1))


async def test_one_that_hangs_costs_the_timeout_once(redis_server: RedisServer) -> None:
    async with quota(redis_server, patience=0.2) as one:
        await one.admit(tokens(60, 1))
        redis_server.hang()
        try:
            begun = time.monotonic()
            for _ in range(20):
                await one.admit(tokens(60, 1))
            assert time.monotonic() - begun < 2
        finally:
            redis_server.wake()


async def test_seats_that_are_left_while_it_stutters_are_free_when_it_answers_again(
    redis_server: RedisServer,
) -> None:
    demand = Demand((), (), (Seats("key:a:seats", 8),))
    async with quota(redis_server, patience=0.2) as one:
        verdicts = [await one.admit(demand) for _ in range(8)]
        redis_server.hang()
        try:
            # Whoever asks first finds out, and from then on nothing is sent for a while.
            await one.admit(demand)
            for verdict in verdicts:
                one.settle(demand, verdict, [])
        finally:
            redis_server.wake()
        with redis_server.open() as client:
            await until(lambda: client.zcard("embedway:1:quota:key:a:seats") == 0)
        assert (await one.admit(demand)).blocker is None


async def test_a_change_of_a_meter_that_may_have_arrived_is_not_sent_again(
    redis_server: RedisServer,
) -> None:
    demand = Demand(tokens(60, 1).meters, (30,), (Seats("key:a:seats", 2),))
    seat = Demand((), (), demand.seats)
    async with quota(redis_server, patience=0.2) as one, quota(redis_server) as other:
        first, second = await one.admit(demand), await one.admit(seat)
        redis_server.hang()
        try:
            one.settle(demand, first, [15])
            await until(lambda: one._failing)
            one.settle(seat, second, [])
        finally:
            redis_server.wake()
        with redis_server.open() as client:
            # The second's is freed behind the first's.
            await until(lambda: client.zcard("embedway:1:quota:key:a:seats") == 0)
            assert 0 < client.pttl("embedway:1:quota:key:a:tokens") <= 45_000
        assert (await other.admit(tokens(60, 15))).blocker is None


async def test_a_change_that_was_never_sent_is_made_when_it_answers_again(
    redis_server: RedisServer,
) -> None:
    demand = tokens(600, 500)
    async with quota(redis_server, patience=0.2) as one:
        verdict = await one.admit(demand)
        redis_server.hang()
        try:
            await one.admit(demand)
            one.settle(demand, verdict, [-500])
        finally:
            redis_server.wake()
        # What hung may have been counted when it woke, but both together would not fit.
        with redis_server.open() as client:
            await until(lambda: client.pttl("embedway:1:quota:key:a:tokens") < 5_000)


async def test_scripts_that_the_server_forgot_are_sent_again(redis_server: RedisServer) -> None:
    async with quota(redis_server) as one:
        await one.admit(tokens(60, 1))
        with redis_server.open() as client:
            client.script_flush()
        assert (await one.admit(tokens(60, 50))).lease


async def test_seats_are_kept_however_much_there_is_to_settle(redis_server: RedisServer) -> None:
    seat = Demand((), (), (Seats("key:a:seats", 1),))
    busy = tokens(1_000_000_000, 1)
    async with quota(redis_server, lease=1.2) as one:
        held = await one.admit(seat)
        whole = one._line.redis.pipeline

        def pipeline(**options: bool) -> object:
            # Others end while this is sent, as at full load.
            one.settle(busy, Verdict(None, 0.0, (0.0,), "other"), [1])
            return whole(**options)

        one._line.redis.pipeline = pipeline  # type: ignore[method-assign, assignment]
        one.settle(busy, Verdict(None, 0.0, (0.0,), "other"), [1])
        end = time.monotonic() + 2.0
        while time.monotonic() < end:
            assert (await one.admit(seat)).blocker is not None
            await asyncio.sleep(0.05)
        one._line.redis.pipeline = whole  # type: ignore[method-assign]
        one.settle(seat, held, [])
