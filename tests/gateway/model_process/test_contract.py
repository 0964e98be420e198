"""The same vectors, the same space and the same errors, whichever process computes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias, cast

import numpy as np
import pytest

from doubles.local_model import FakeEmbedder
from doubles.model_process import model_process, until
from embedway_gateway.in_process import InProcess, in_process
from embedway_gateway.local import Local
from embedway_gateway.model_process.line import Line
from embedway_gateway.model_process.out_of_process import OutOfProcess
from embedway_gateway.runtime import Loads
from embedway_gateway.runtimes import Make
from embedway_local import LocalEmbedder, LocalEmbedding, LocalError, ModelNotFound
from embedway_local.error import NotNumbers
from embedway_upstream import BadVector, EmbeddingRequest, InvalidRequest, UpstreamFailed

Serve: TypeAlias = Callable[[Make], AbstractAsyncContextManager[Local]]

LOADS = Loads("sentence-transformers/all-MiniLM-L6-v2", "cpu")


@asynccontextmanager
async def here(make: Make) -> AsyncIterator[Local]:
    local = Local("up", make("up", LOADS), dimensions=None)
    try:
        yield local
    finally:
        await local.close()


@asynccontextmanager
async def there(make: Make) -> AsyncIterator[Local]:
    async with model_process(make) as process:
        line = Line(process.path)
        async with here(lambda name, loads: OutOfProcess(name, loads, line)) as local:
            yield local
        line.close()
        await until(lambda: not process.models)


both = pytest.mark.parametrize("serve", [here, there])


def made(open_: Callable[[], FakeEmbedder]) -> Make:
    return lambda name, _: InProcess(name, cast("Callable[[], LocalEmbedder]", open_))


def request(*texts: str, deadline: float | None = None) -> EmbeddingRequest:
    return EmbeddingRequest("m", texts, "document", None, deadline)


@pytest.mark.usefixtures("model_in_store")
async def test_vectors_space_and_counts_are_the_same() -> None:
    texts = ["one", "", "a text that is longer " * 200, "naïve 日本語 🙂", *map(str, range(600))]
    found = []
    for serve in (here, there):
        async with serve(in_process) as local:
            facts = await local.load()
            single = await local.send(request("alone"))
            found.append((facts, single, await local.send(request(*texts))))
    (facts, single, many), (other, other_single, other_many) = found

    assert facts == other
    assert facts.space.fingerprint == other.space.fingerprint
    np.testing.assert_allclose(single.vectors, other_single.vectors, atol=1e-6)
    assert many.vectors.dtype == other_many.vectors.dtype == np.float32
    np.testing.assert_allclose(many.vectors, other_many.vectors, atol=1e-6)
    assert many.usage == other_many.usage
    assert many.truncated == other_many.truncated == 1


@both
async def test_a_text_without_a_utf8_form_is_the_callers_mistake(serve: Serve) -> None:
    def encode() -> FakeEmbedder:
        return FakeEmbedder(failure=ValueError("text 301 has a lone surrogate at character 1"))

    texts = [*["fine"] * 301, "a\ud800"]
    async with serve(made(encode)) as local:
        with pytest.raises(InvalidRequest, match="text 301 has a lone surrogate at character 1"):
            await local.send(request(*texts))


@both
@pytest.mark.parametrize("error", [LocalError("out of memory"), RuntimeError("out of memory")])
async def test_a_device_that_fails_is_the_upstreams_failure(serve: Serve, error: Exception) -> None:
    async with serve(made(lambda: FakeEmbedder(failure=error))) as local:
        with pytest.raises(UpstreamFailed) as caught:
            await local.send(request("a"))

    assert caught.value.retryable
    assert (caught.value.upstream, caught.value.detail) == ("up", "out of memory")


@both
async def test_a_text_that_the_model_makes_no_numbers_of_is_told_by_its_index(serve: Serve) -> None:
    failure = NotNumbers("the graph made no numbers", [1])
    async with serve(made(lambda: FakeEmbedder(failure=failure))) as local:
        with pytest.raises(BadVector) as caught:
            await local.send(request("a", "b"))

    error = caught.value
    assert (error.rows, error.upstream, error.detail) == ((1,), "up", "the graph made no numbers")
    assert "not finite for the text at index 1" in error.message


async def test_it_is_counted_from_the_first_of_a_long_call() -> None:
    class Lacking(FakeEmbedder):
        def encode(self, texts: Sequence[str], *, input_type: None) -> LocalEmbedding:
            if "bad" in texts:
                raise NotNumbers("no numbers", [texts.index("bad")])
            return super().encode(texts, input_type=input_type)

    async with here(made(Lacking)) as local:
        with pytest.raises(BadVector) as caught:
            await local.send(request(*["fine"] * 700, "bad"))

    assert caught.value.rows == (700,)


@both
async def test_each_who_waits_for_a_model_that_cannot_be_loaded_has_its_own_error(
    serve: Serve,
) -> None:
    def open_() -> FakeEmbedder:
        raise ModelNotFound("no source has it")

    async with serve(made(open_)) as local:
        calls = [local.send(request("a")), local.send(request("b"))]
        first, second = await asyncio.gather(*calls, return_exceptions=True)

    assert [UpstreamFailed] * 2 == [type(first), type(second)]
    assert first is not second


@both
async def test_a_model_that_cannot_be_loaded_says_why(serve: Serve) -> None:
    opened = []

    def open_() -> FakeEmbedder:
        opened.append(True)
        raise ModelNotFound("no source has it\nand more")

    async with serve(made(open_)) as local:
        for _ in range(3):
            with pytest.raises(UpstreamFailed, match="could not be loaded") as caught:
                await local.send(request("a"))
        assert local.problem == "no source has it"

    assert len(opened) == 1, "and is not tried again at once"
    assert (caught.value.upstream, caught.value.detail) == ("up", "no source has it\nand more")


@both
async def test_calls_run_at_once_and_a_short_one_does_not_wait_for_long_ones(serve: Serve) -> None:
    fake = FakeEmbedder()
    async with serve(made(lambda: fake)) as local:
        await local.load()
        fake.release.clear()
        long = [asyncio.create_task(local.send(request(*["a"] * 100))) for _ in range(8)]
        await until(lambda: len(fake.calls) == 4)
        short = asyncio.create_task(local.send(request("a")))
        await until(lambda: 1 in fake.calls)
        assert len(fake.calls) == 5, "long ones that have no turn yet wait"
        fake.release.set()
        response = await short
        await asyncio.gather(*long)

    assert response.vectors.tolist() == [[1, 1, 1, 1]]


@both
async def test_what_nobody_waits_for_ends(serve: Serve) -> None:
    fake = FakeEmbedder()
    async with serve(made(lambda: fake)) as local:
        await local.load()
        fake.release.clear()
        call = asyncio.create_task(local.send(request(*["a"] * 2000)))
        await until(fake.begun.is_set)
        call.cancel()
        await asyncio.wait([call])
        # The cancellation passes this way too, and before the next call.
        await asyncio.sleep(0.01)
        fake.release.set()
        await local.send(request("a"))

    assert call.cancelled()
    assert sum(fake.calls) < 2000


@both
async def test_the_event_loop_waits_neither_for_loading_nor_for_closing(serve: Serve) -> None:
    fake, opening, release = FakeEmbedder(), threading.Event(), threading.Event()

    def open_() -> FakeEmbedder:
        opening.set()
        assert release.wait(10)
        return fake

    begun = time.monotonic()
    async with serve(made(open_)) as local:
        loading = asyncio.create_task(local.load())
        await until(opening.is_set)
        assert local.problem == "the model is being loaded"
        release.set()
        await loading
        assert local.problem == ""
    await until(fake.closed.is_set)

    assert time.monotonic() - begun < 10, "or it was the doubles that gave up"


@both
@pytest.mark.usefixtures("model_in_store")
async def test_the_precision_and_how_far_it_agrees_are_told(serve: Serve) -> None:
    async with serve(
        lambda name, loads: in_process(name, loads._replace(precision="int8"))
    ) as local:
        facts = await local.load()

    assert facts.space.precision == "int8"
    assert facts.agreement is not None
    assert 0.99 < facts.agreement < 1
