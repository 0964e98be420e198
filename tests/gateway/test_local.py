"""Engine `local`: what becomes of a model that cannot be loaded."""

from __future__ import annotations

import asyncio

import pytest

from doubles.time import Time
from embedway_gateway.in_process import InProcess
from embedway_gateway.local import Local
from embedway_local import LocalEmbedder, ModelNotFound
from embedway_upstream import EmbeddingRequest, UpstreamFailed

REQUEST = EmbeddingRequest("m", ("a",))


@pytest.mark.parametrize("error", [ModelNotFound, ValueError, PermissionError, RuntimeError])
async def test_a_load_that_fails_is_told_and_not_repeated_at_once(
    error: type[Exception],
) -> None:
    time, opened = Time(), []

    def open_() -> LocalEmbedder:
        opened.append(True)
        raise error("why not")

    local = Local("local", InProcess("local", open_, clock=time), dimensions=None)
    for _ in range(3):
        with pytest.raises(UpstreamFailed):
            await local.send(REQUEST)
    assert (1, "why not") == (len(opened), local.problem)
    time.now += 31
    with pytest.raises(UpstreamFailed):
        await local.send(REQUEST)

    assert 2 == len(opened)
    await local.close()


async def test_a_caller_that_leaves_does_not_stop_the_loading_for_others() -> None:
    release = asyncio.Event()
    loop = asyncio.get_running_loop()

    def open_() -> LocalEmbedder:
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result(10)
        raise ModelNotFound("done")

    local = Local("local", InProcess("local", open_), dimensions=None)
    first = asyncio.create_task(local.send(REQUEST))
    second = asyncio.create_task(local.send(REQUEST))
    await asyncio.sleep(0.05)
    first.cancel()
    release.set()

    with pytest.raises(UpstreamFailed):
        await second
    await local.close()
