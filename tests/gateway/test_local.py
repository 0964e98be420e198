"""Engine `local`: what becomes of a model that cannot be loaded."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from doubles.local_model import FakeEmbedder
from doubles.time import Time
from embedway_gateway.in_process import InProcess
from embedway_gateway.local import Local
from embedway_gateway.opening import Opening
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


async def test_who_share_a_model_that_cannot_be_loaded_have_errors_that_name_each_its_own() -> None:
    def open_() -> LocalEmbedder:
        raise ModelNotFound("no source has it")

    shared = InProcess("first", open_)
    both = [Local(name, shared, dimensions=None) for name in ("first", "second")]
    errors = await asyncio.gather(*(one.send(REQUEST) for one in both), return_exceptions=True)

    assert ["first", "second"] == [getattr(error, "upstream", None) for error in errors]
    await shared.close()


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


async def test_whoever_waits_for_a_model_that_is_closed_is_told_so() -> None:
    """Being cancelled instead, a call of the model process would never be answered."""
    model = FakeEmbedder()
    model.release.clear()
    local = InProcess("local", lambda: model)  # type: ignore[arg-type, return-value]
    # More than there are threads for long calls.
    calls = [asyncio.create_task(local.encode(["a"] * 20)) for _ in range(6)]
    while len(model.calls) < 4:  # noqa: ASYNC110 – it happens in threads
        await asyncio.sleep(0.001)
    await local.close()
    model.release.set()
    done = await asyncio.gather(*calls, return_exceptions=True)

    assert 2 == sum(isinstance(one, UpstreamFailed) for one in done)
    assert 4 == sum(not isinstance(one, BaseException) for one in done)


async def test_whoever_waits_for_a_load_is_told_that_it_was_closed() -> None:
    release = threading.Event()

    def open_() -> FakeEmbedder:
        assert release.wait(10)
        return FakeEmbedder()

    local = InProcess("local", open_)  # type: ignore[arg-type]
    waiting = asyncio.create_task(local.load())
    await asyncio.sleep(0.01)
    await local.close()
    release.set()

    with pytest.raises(UpstreamFailed):
        await waiting
    with pytest.raises(UpstreamFailed):
        await local.load()


async def test_a_model_that_is_loaded_in_the_moment_of_closing_is_closed() -> None:
    model, threads = FakeEmbedder(), ThreadPoolExecutor(1)
    opening = Opening("local", lambda: model, threads, tell=lambda _: "")
    waiting = asyncio.create_task(opening.get())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    # Without giving the event loop a chance to see it: the load is done when this is.
    threads.submit(int).result(10)
    await opening.close()

    with pytest.raises(UpstreamFailed):
        await waiting
    assert model.closed.wait(10)
