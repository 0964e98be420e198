"""What becomes of calls and models when the model process ends."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest

from doubles.local_model import FakeEmbedder
from doubles.model_process import ModelProcess, model_process, until
from embedway_gateway.in_process import InProcess
from embedway_gateway.local import Local
from embedway_gateway.model_process.frame import MOST_HEADER
from embedway_gateway.model_process.line import Line, ProcessEnded
from embedway_gateway.model_process.out_of_process import OutOfProcess
from embedway_gateway.runtime import Loads
from embedway_gateway.runtimes import Make
from embedway_local import LocalEmbedder
from embedway_upstream import (
    BatchTooLarge,
    DeadlineExceeded,
    EmbeddingRequest,
    UpstreamFailed,
    UpstreamUnreachable,
)

REQUEST = EmbeddingRequest("m", ("a",))


def made(*fakes: FakeEmbedder) -> Make:
    """Each load takes the next."""
    left = iter(fakes)
    return lambda name, _: InProcess(name, cast("Callable[[], LocalEmbedder]", lambda: next(left)))


@asynccontextmanager
async def worker(process: ModelProcess, *, patience: float = 10.0) -> AsyncIterator[Local]:
    line = Line(process.path)
    runtime = OutOfProcess("up", Loads("m"), line, patience=patience)
    local = Local("up", runtime, dimensions=None)
    try:
        yield local
    finally:
        await local.close()
        line.close()


async def test_what_runs_fails_with_an_error_that_says_try_again() -> None:
    fake = FakeEmbedder()
    async with model_process(made(fake, FakeEmbedder())) as process, worker(process) as local:
        await local.load()
        fake.release.clear()
        call = asyncio.create_task(local.send(REQUEST))
        await until(fake.begun.is_set)
        await process.die()
        with pytest.raises(ProcessEnded) as caught:
            await call
        fake.release.set()

        assert caught.value.retryable
        assert caught.value.reached, "one such failure opens no breaker"
        assert caught.value.upstream == "up"
        assert "is being started again" in local.problem
        assert not local.present()
        await process.start()


async def test_the_model_is_loaded_again_without_being_asked_for() -> None:
    fakes = FakeEmbedder(), FakeEmbedder()
    async with model_process(made(*fakes)) as process, worker(process) as local:
        facts = await local.load()
        await process.die()
        await until(lambda: local.problem)
        assert local.facts == facts, "what is known of the model stays"
        await process.start()
        await until(lambda: not local.problem)

        assert local.present()
        assert (await local.send(REQUEST)).vectors.shape == (1, 4)
        assert process.models == 1


async def test_what_comes_meanwhile_waits_for_the_next_process() -> None:
    fakes = FakeEmbedder(), FakeEmbedder()
    async with model_process(made(*fakes)) as process, worker(process) as local:
        await local.load()
        await process.die()
        await until(lambda: local.problem)
        call = asyncio.create_task(local.send(REQUEST))
        await process.start()

        assert (await call).vectors.shape == (1, 4)


async def test_nobody_waits_for_ever_for_the_next_process() -> None:
    fakes = FakeEmbedder(), FakeEmbedder()
    async with model_process(made(*fakes)) as process, worker(process, patience=0.01) as local:
        await local.load()
        await process.die()
        await until(lambda: local.problem)
        with pytest.raises(UpstreamUnreachable) as caught:
            await local.send(REQUEST)
        await process.start()
        await until(lambda: not local.problem)

        assert not caught.value.reached, "which opens the breaker: there is no doubt"
        assert caught.value.upstream == "up"
        assert (await local.send(REQUEST)).vectors.shape == (1, 4)


async def test_a_load_that_is_given_up_leaves_no_model_behind() -> None:
    fake, opening, release = FakeEmbedder(), threading.Event(), threading.Event()

    def open_() -> FakeEmbedder:
        opening.set()
        assert release.wait(10)
        return fake

    def make(name: str, _: Loads) -> InProcess:
        return InProcess(name, cast("Callable[[], LocalEmbedder]", open_))

    async with model_process(make) as process:
        async with worker(process) as local:
            loading = asyncio.create_task(local.load())
            await until(opening.is_set)
            await local.close()
            await asyncio.wait([loading])
            await until(lambda: process.models == 0)
            release.set()
        await until(fake.closed.is_set)


async def test_a_model_that_changed_on_the_disk_is_refused() -> None:
    fakes = FakeEmbedder(), FakeEmbedder(weights="others")
    async with model_process(made(*fakes)) as process, worker(process) as local:
        before = await local.load()
        await process.die()
        await process.start()
        await until(lambda: "restart the gateway" in local.problem)
        with pytest.raises(UpstreamFailed):
            await local.send(REQUEST)

        assert local.facts == before
        await until(lambda: process.models == 0)


async def test_a_model_is_there_once_and_until_the_last_worker_leaves() -> None:
    fake = FakeEmbedder()
    async with model_process(made(fake)) as process:
        async with worker(process) as one:
            await one.load()
            async with worker(process) as other:
                await other.load()
                assert process.models == 1
            await one.send(REQUEST)
            assert process.models == 1
            assert not fake.closed.is_set()
        await until(fake.closed.is_set)

        assert process.models == 0


async def test_a_worker_that_dies_gives_up_its_calls_and_models() -> None:
    fake = FakeEmbedder()
    async with model_process(made(fake)) as process:
        line = Line(process.path)
        runtime = OutOfProcess("up", Loads("m"), line)
        await runtime.load()
        fake.release.clear()
        call = asyncio.create_task(runtime.encode(["a"] * 2000))
        await until(fake.begun.is_set)
        line.close()
        with pytest.raises(ProcessEnded):
            await call
        await until(lambda: process.models == 0)
        fake.release.set()
        await until(fake.closed.is_set)

        assert fake.calls == [256]
        await runtime.close()


async def test_the_deadline_is_passed_on() -> None:
    fake = FakeEmbedder()
    async with model_process(made(fake)) as process, worker(process) as local:
        await local.load()
        fake.release.clear()
        late = EmbeddingRequest("m", ("a",), deadline=time.monotonic() + 0.02)
        with pytest.raises(DeadlineExceeded):
            await local.send(late)
        fake.release.set()


async def test_a_model_that_was_unloaded_answers_as_one_that_was_closed() -> None:
    async with model_process(made(FakeEmbedder())) as process, worker(process) as local:
        await local.load()
        await local.close()
        with pytest.raises(UpstreamFailed, match="local runtime failed"):
            await local.send(REQUEST)
        await until(lambda: process.models == 0)


async def test_more_than_a_frame_holds_is_cut_by_those_above() -> None:
    async with model_process(made(FakeEmbedder())) as process, worker(process) as local:
        await local.load()
        half = "a" * (MOST_HEADER // 2)
        with pytest.raises(BatchTooLarge):
            await local.send(EmbeddingRequest("m", (half, half)))
        assert (await local.send(REQUEST)).vectors.shape == (1, 4)


@pytest.mark.parametrize("said", [b"\xff" * 8, b"\x01\0\0\0\0\0\0\0\xc1"])
async def test_a_peer_that_talks_nonsense_is_hung_up_on(said: bytes) -> None:
    async with model_process(made(FakeEmbedder())) as process, worker(process) as local:
        reader, writer = await asyncio.open_unix_connection(process.path)
        writer.write(said)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()

        assert (await local.send(REQUEST)).vectors.shape == (1, 4), "others go on"
