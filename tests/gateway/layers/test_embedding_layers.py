"""Split, Shorten, Prompt and the small gather: what callers get is what they asked for."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedway_gateway.layers.prompt import Prompt, PromptTexts
from embedway_gateway.layers.shorten import Shorten
from embedway_gateway.layers.split import Split
from embedway_upstream import EmbeddingRequest, InvalidRequest, OpenAI, UpstreamFailed
from embedway_upstream.gather import gather
from embedway_upstream.testing import FakeEmbedder, fake_vectors


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=40), st.integers(1, 12))
def test_split_and_join_is_the_identity(texts: list[str], size: int) -> None:
    whole, inner = FakeEmbedder(), FakeEmbedder()
    request = EmbeddingRequest("m", tuple(texts))

    expected = asyncio.run(whole.send(request))
    actual = asyncio.run(Split(inner, max_inputs=size).send(request))

    np.testing.assert_array_equal(expected.vectors, actual.vectors)
    assert expected.usage == actual.usage
    assert max(len(piece.inputs) for piece in inner.requests) <= size
    assert sum(len(piece.inputs) for piece in inner.requests) == len(texts)


async def test_a_piece_that_fails_fails_the_request_bare() -> None:
    split = Split(FakeEmbedder(errors=[UpstreamFailed("x")]), max_inputs=1)

    with pytest.raises(UpstreamFailed):
        await split.send(EmbeddingRequest("m", ("a", "b", "c")))


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


@given(st.lists(st.text(min_size=1, max_size=2000), min_size=1, max_size=12), st.integers(1, 5))
def test_no_piece_is_larger_than_the_upstream_takes(texts: list[str], inputs: int) -> None:
    whole, inner = FakeEmbedder(), FakeEmbedder()
    request = EmbeddingRequest("m", tuple(texts))
    limit = 4096 + 5000

    expected = asyncio.run(whole.send(request))
    actual = asyncio.run(Split(inner, max_inputs=inputs, max_bytes=limit).send(request))

    np.testing.assert_array_equal(expected.vectors, actual.vectors)
    assert tuple(texts) == sum((piece.inputs for piece in inner.requests), ())
    for piece in inner.requests:
        size = len(OpenAI().encode(piece))
        assert size <= limit or len(piece.inputs) == 1
        assert len(piece.inputs) <= inputs
