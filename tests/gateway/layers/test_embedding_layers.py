"""Shorten, Prompt and the small gather: what callers get is what they asked for."""

from __future__ import annotations

import asyncio
import inspect

import numpy as np
import pytest

from embedway_gateway.layers.prompt import Prompt, PromptTexts
from embedway_gateway.layers.shorten import Shorten
from embedway_upstream import EmbeddingRequest, InvalidRequest, UpstreamFailed
from embedway_upstream.gather import gather
from embedway_upstream.testing import FakeEmbedder, fake_vectors


async def test_gather_cancels_the_siblings_of_what_failed() -> None:
    cancelled = []

    async def slow() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def fails() -> None:
        await asyncio.sleep(0)
        raise UpstreamFailed("x")

    with pytest.raises(UpstreamFailed):
        await gather([slow(), fails(), slow()], most=3)

    assert [True, True] == cancelled


async def test_gather_passes_a_cancellation_down() -> None:
    cancelled = []

    async def slow() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            cancelled.append(True)

    task = asyncio.create_task(gather([slow(), slow()], most=2))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [True, True] == cancelled


async def test_gather_closes_what_never_began() -> None:
    """Else Python warns of each, sooner or later, that it was never awaited."""

    async def part() -> None:
        raise AssertionError

    parts = [part(), part()]
    task = asyncio.create_task(gather(parts, most=2))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert ["CORO_CLOSED"] * 2 == [inspect.getcoroutinestate(one) for one in parts]


@pytest.mark.parametrize("size", [4, 6])
async def test_shorter_vectors_are_cut_and_of_unit_length(size: int) -> None:
    layer = Shorten(FakeEmbedder(dimensions=8), sizes=(4, 6), full=lambda: 8)

    response = await layer.send(EmbeddingRequest("m", ("a", "b"), dimensions=size))

    full = fake_vectors(["a", "b"], 8)[:, :size]
    expected = full / np.linalg.norm(full, axis=1, keepdims=True)
    np.testing.assert_allclose(expected, response.vectors, rtol=1e-6)
    assert np.float32 == response.vectors.dtype


@pytest.mark.parametrize("known", [8, None])
async def test_dimensions_that_the_model_was_not_trained_for_are_refused(
    known: int | None,
) -> None:
    inner = FakeEmbedder(dimensions=8)
    layer = Shorten(inner, sizes=(4,), full=lambda: known)

    with pytest.raises(InvalidRequest, match="allowed: 4, 8") as caught:
        await layer.send(EmbeddingRequest("m", ("a",), dimensions=5))

    assert "dimensions" == caught.value.param


async def test_the_full_size_may_be_asked_for_by_number() -> None:
    inner = FakeEmbedder(dimensions=8)

    response = await Shorten(inner, sizes=(), full=lambda: 8).send(
        EmbeddingRequest("m", ("a",), dimensions=8)
    )

    np.testing.assert_array_equal(fake_vectors(["a"], 8), response.vectors)
    assert inner.requests[0].dimensions is None


@pytest.mark.parametrize(("kind", "prefix"), [("query", "query: "), ("document", "")])
async def test_each_input_type_gets_its_prompt(kind: str, prefix: str) -> None:
    async def texts() -> PromptTexts:
        return PromptTexts(query="query: ")

    inner = FakeEmbedder()
    await Prompt(inner, texts).send(EmbeddingRequest("m", ("a", "b"), kind))  # type: ignore[arg-type]

    assert (f"{prefix}a", f"{prefix}b") == inner.requests[0].inputs
