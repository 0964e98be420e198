"""Every test of the wire runs on both event loops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import uvloop

from embedway_gateway.transport import AiohttpTransport
from embedway_gateway.wire import Carrier, WireTransport


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def wire() -> AsyncIterator[WireTransport]:
    transport = WireTransport(max_reply_bytes=100_000)
    yield transport
    await transport.close()


@pytest.fixture(params=[WireTransport, AiohttpTransport], ids=["wire", "aiohttp"])
async def carrier(request: pytest.FixtureRequest) -> AsyncIterator[Carrier]:
    """Either of the two: what tests ask of it, both do."""
    transport: Carrier = request.param(max_reply_bytes=100_000)
    yield transport
    await transport.close()
