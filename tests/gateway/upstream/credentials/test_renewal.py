"""Refreshes on an event loop: who shares them, what each is told, and what one that hangs costs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time as wall
from collections.abc import AsyncIterator
from typing import Any

import pytest

from doubles.oci_identity import KEY_ID, private_key
from doubles.time import Time
from embedway_gateway.wire import WireTransport
from embedway_upstream import EmbeddingRequest, Upstream
from embedway_upstream.credentials.error import CredentialsError, LoginDown
from embedway_upstream.credentials.oci import OCISignature
from embedway_upstream.credentials.renewal import Renewal
from embedway_upstream.credentials.snapshot import Snapshot

REQUEST = EmbeddingRequest("m", ("a",))
HANGS = """
import asyncio, threading
from embedway_upstream.credentials.renewal import Renewal

class Hangs:
    def sign(self, *_): return {}
    def stale(self): return True
    def due(self): return True
    def refresh(self, force=False):
        loop.call_soon_threadsafe(asked.set)
        threading.Event().wait()

async def main():
    global loop, asked
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    waiting = asyncio.create_task(Renewal(Hangs()).ready())
    await asked.wait()
    waiting.cancel()

asyncio.run(main())
print("over")
"""


class Gated:
    """A source that answers, or fails, when the gate is open; `asked` is set when it is asked."""

    watch: float | None = None

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.asked = asyncio.Event()
        self.gate = threading.Event()
        self.error: CredentialsError | None = None
        self.forces: list[bool] = []

    def take(self, held: Snapshot | None, *, force: bool) -> Snapshot:
        self.forces.append(force)
        self._loop.call_soon_threadsafe(self.asked.set)
        self.gate.wait(60)
        if self.error is not None:
            raise self.error
        now = wall.time()
        return Snapshot(key_id=KEY_ID, key=private_key(), issued_at=now, expires_at=now + 1e6)


@pytest.fixture
async def transport() -> AsyncIterator[WireTransport]:
    transport = WireTransport()
    yield transport
    await transport.close()


@pytest.fixture
async def source() -> AsyncIterator[Gated]:
    source = Gated()
    yield source
    source.gate.set()


async def require_own_errors(source: Gated, tasks: list[asyncio.Task[Any]]) -> None:
    """What is written into one of two is not in the other."""
    await source.asked.wait()
    source.gate.set()
    await asyncio.wait(tasks)
    first, second = (task.exception() for task in tasks)
    assert isinstance(first, LoginDown)
    assert isinstance(second, LoginDown)
    first.retry_after, first.most_retries = None, 0
    assert (30.0, None) == (second.retry_after, second.most_retries)
    assert str(first) == str(second) == "the token server cannot answer now"


async def test_each_who_waits_is_told_by_an_error_of_its_own(
    deployment: Any, transport: WireTransport, source: Gated
) -> None:
    """Routing writes into the error of one request whether and when that may be tried again."""
    source.error = LoginDown("the token server cannot answer now", retry_after=30.0)
    upstream = Upstream(deployment.endpoint(OCISignature(source)), transport)
    tasks = [asyncio.create_task(upstream.send(REQUEST)) for _ in range(2)]
    await require_own_errors(source, tasks)


async def test_each_who_was_refused_is_told_by_an_error_of_its_own(source: Gated) -> None:
    credentials = OCISignature(source)
    source.error = LoginDown("the token server cannot answer now", retry_after=30.0)
    renewal = Renewal(credentials)
    seen = renewal.forced
    tasks = [asyncio.create_task(renewal.renew(seen)) for _ in range(2)]
    await require_own_errors(source, tasks)

    with pytest.raises(LoginDown) as late:
        await renewal.renew(seen)
    assert (30.0, None) == (late.value.retry_after, late.value.most_retries)
    assert [True] == source.forces


async def test_a_login_that_hangs_costs_one_thread_however_many_wait(
    deployment: Any, transport: WireTransport, source: Gated
) -> None:
    """And none of the event loop's own, which look up names and read files."""
    credentials = OCISignature(source)
    before = set(threading.enumerate())
    upstreams = [Upstream(deployment.endpoint(credentials), transport) for _ in range(40)]
    tasks = [asyncio.create_task(one.send(REQUEST)) for one in upstreams]
    await source.asked.wait()
    new = set(threading.enumerate()) - before
    try:
        async with asyncio.timeout(10):
            assert threading.get_ident() != await asyncio.to_thread(threading.get_ident)
    finally:
        source.gate.set()
        await asyncio.wait(tasks)
    assert 1 == len(new)
    assert [False] == source.forces
    assert [None] * 40 == [task.exception() for task in tasks]


async def test_who_gives_up_leaves_the_refresh_to_the_others(
    deployment: Any, transport: WireTransport, source: Gated
) -> None:
    upstream = Upstream(deployment.endpoint(OCISignature(source)), transport)
    tasks = [asyncio.create_task(upstream.send(REQUEST)) for _ in range(2)]
    await source.asked.wait()
    tasks[0].cancel()
    await asyncio.wait(tasks[:1])
    source.gate.set()

    assert (1, 8) == (await tasks[1]).vectors.shape
    assert tasks[0].cancelled()
    assert [False] == source.forces


async def test_what_one_upstream_renewed_is_not_renewed_for_another(source: Gated) -> None:
    """Its call was signed before, and may be signed anew."""
    time = Time()
    credentials = OCISignature(source, elapsed=time)
    source.gate.set()
    one, other = Renewal(credentials), Renewal(credentials)
    await one.ready()
    seen = other.forced

    assert await one.renew(one.forced)
    time.now += 60
    assert await other.renew(seen)
    assert [False, True] == source.forces


async def test_a_failure_that_nobody_expects_reaches_who_waits() -> None:
    class Spoilt:
        def stale(self) -> bool:
            return True

        def refresh(self, force: bool = False) -> bool:
            raise ZeroDivisionError

    async with asyncio.timeout(10):
        with pytest.raises(ZeroDivisionError):
            await Renewal(Spoilt()).ready()  # type: ignore[arg-type]


def test_a_login_that_hangs_does_not_hold_up_the_end() -> None:
    found = subprocess.run(
        [sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=60, check=True
    )

    assert "over\n" == found.stdout
