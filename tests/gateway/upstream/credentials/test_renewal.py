"""Refreshes on an event loop: who shares them, and what each is told."""

from __future__ import annotations

import asyncio
import threading
import time as wall
from collections.abc import AsyncIterator
from typing import Any

import pytest

from doubles.oci_identity import KEY_ID, private_key
from embedway_gateway.wire import WireTransport
from embedway_upstream import EmbeddingRequest, Upstream
from embedway_upstream.credentials.error import CredentialsError, LoginDown
from embedway_upstream.credentials.oci import OCISignature
from embedway_upstream.credentials.renewal import Renewal
from embedway_upstream.credentials.snapshot import Snapshot

REQUEST = EmbeddingRequest("m", ("a",))


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


async def test_each_who_waits_is_told_by_an_error_of_its_own(
    deployment: Any, transport: WireTransport, source: Gated
) -> None:
    """Routing writes into the error of one request whether and when that may be tried again."""
    source.error = LoginDown("the token server cannot answer now", retry_after=30.0)
    upstream = Upstream(deployment.endpoint(OCISignature(source)), transport)
    tasks = [asyncio.create_task(upstream.send(REQUEST)) for _ in range(2)]
    await source.asked.wait()
    source.gate.set()
    await asyncio.wait(tasks)
    first, second = (task.exception() for task in tasks)

    assert isinstance(first, LoginDown)
    assert isinstance(second, LoginDown)
    first.retry_after, first.most_retries = None, 0
    assert (30.0, None) == (second.retry_after, second.most_retries)
    assert str(first) == str(second) == "the token server cannot answer now"


async def test_each_who_was_refused_is_told_by_an_error_of_its_own(source: Gated) -> None:
    credentials = OCISignature(source)
    source.error = LoginDown("the token server cannot answer now", retry_after=30.0)
    renewal = Renewal(credentials)
    seen = renewal.forced
    tasks = [asyncio.create_task(renewal.renew(seen)) for _ in range(2)]
    await source.asked.wait()
    source.gate.set()
    await asyncio.wait(tasks)
    first, second = (task.exception() for task in tasks)
    assert isinstance(first, LoginDown)
    assert isinstance(second, LoginDown)
    first.retry_after, first.most_retries = None, 0
    assert (30.0, None) == (second.retry_after, second.most_retries)

    with pytest.raises(LoginDown) as late:
        await renewal.renew(seen)
    assert (30.0, None) == (late.value.retry_after, late.value.most_retries)
    assert [True] == source.forces
