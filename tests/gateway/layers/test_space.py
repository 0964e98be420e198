"""An upstream serves only when its vectors are the model's."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from doubles.time import Time
from embedway_gateway.layers.space import CANARIES, Reference, SameSpace, agreement
from embedway_upstream import (
    BadReply,
    DeadlineExceeded,
    EmbeddingError,
    EmbeddingRequest,
    EmbeddingResponse,
    InputTooLong,
    InvalidRequest,
    UpstreamDefect,
    UpstreamFailed,
    UpstreamUnreachable,
    Usage,
    WrongSpace,
)
from embedway_upstream.testing import FakeEmbedder, fake_vectors

REQUEST = EmbeddingRequest("m", ("a",))


class Foreign(FakeEmbedder):
    """Another model under the same name, until it is `cured`."""

    cured = False

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        response = await super().send(request)
        if self.cured:
            return response
        vectors = fake_vectors([f"other {text}" for text in request.inputs], self.dimensions)
        return EmbeddingResponse("m", vectors, Usage(1, 1), self.name)


def layer(inner: FakeEmbedder, reference: FakeEmbedder, time: Time | None = None) -> SameSpace:
    return SameSpace(
        inner, Reference("m", "first", reference), upstream="second", clock=time or Time()
    )


async def test_an_equal_upstream_serves_after_one_comparison() -> None:
    inner, reference = FakeEmbedder(), FakeEmbedder()
    space = layer(inner, reference)

    assert space.problem
    await space.send(REQUEST)
    await space.send(REQUEST)

    assert "" == space.problem
    assert len(CANARIES) == len(reference.requests)
    assert len(CANARIES) + 2 == len(inner.requests)


async def test_a_foreign_upstream_serves_nothing() -> None:
    inner = Foreign()
    space = layer(inner, FakeEmbedder())

    for _ in range(3):
        with pytest.raises(WrongSpace, match="cosine"):
            await space.send(REQUEST)

    assert "differ from those of 'first'" in space.problem
    assert REQUEST not in inner.requests
    assert len(CANARIES) == len(inner.requests), "asked once, not for every request"


async def test_another_size_is_another_space() -> None:
    with pytest.raises(WrongSpace):
        await layer(FakeEmbedder(dimensions=4), FakeEmbedder(dimensions=8)).send(REQUEST)


async def test_a_foreign_upstream_is_looked_at_again_after_a_minute() -> None:
    time, inner = Time(), Foreign()
    space = layer(inner, FakeEmbedder(), time)
    with pytest.raises(WrongSpace):
        await space.send(REQUEST)
    inner.cured = True
    time.now += 61

    assert "fake" == (await space.send(REQUEST)).served_by


async def test_without_a_reference_nothing_is_proven_and_nothing_served() -> None:
    reference = FakeEmbedder(errors=[UpstreamUnreachable("x")])
    inner = FakeEmbedder()
    space = layer(inner, reference)

    with pytest.raises(UpstreamFailed, match="defines the vector space"):
        await space.send(REQUEST)
    assert REQUEST not in inner.requests

    await space.send(REQUEST)
    assert REQUEST in inner.requests


def test_agreement_is_the_worst_cosine() -> None:
    one = dict(enumerate(fake_vectors(["a", "b"], 8)))

    assert 1.0 == pytest.approx(agreement(one, {key: row * 3 for key, row in one.items()}))
    assert -1.0 == pytest.approx(agreement(one, {**one, 1: -one[1]}))
    assert -1.0 == agreement(one, {**one, 1: np.zeros(4, np.float32)})


async def test_an_upstream_that_comes_back_as_another_is_noticed() -> None:
    inner = Foreign()
    inner.cured = True
    space = layer(inner, FakeEmbedder())
    await space.send(REQUEST)

    inner._errors = [UpstreamUnreachable("x")]
    with pytest.raises(UpstreamUnreachable):
        await space.send(REQUEST)
    inner.cured = False

    with pytest.raises(WrongSpace):
        await space.send(REQUEST)


async def test_a_reference_that_becomes_another_model_is_noticed() -> None:
    time, reference = Time(), Foreign()
    reference.cured = True
    inner = FakeEmbedder()
    shared = Reference("m", "first", reference, clock=time)
    space = SameSpace(inner, shared, upstream="second", clock=time)
    await space.send(REQUEST)
    reference.cured = False
    time.now += 301
    await space.send(REQUEST)
    for _ in range(50):
        await asyncio.sleep(0)

    with pytest.raises(WrongSpace):
        await space.send(REQUEST)


async def test_vectors_of_another_size_are_refused_after_the_proof_too() -> None:
    inner = FakeEmbedder(dimensions=8)
    space = layer(inner, FakeEmbedder(dimensions=8))
    await space.send(REQUEST)
    inner.dimensions = 16

    with pytest.raises(BadReply):
        await space.send(REQUEST)


async def test_nobody_waits_for_a_comparison_past_the_deadline() -> None:
    class Hanging(FakeEmbedder):
        async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
            await asyncio.sleep(3600)
            raise AssertionError

    space = layer(Hanging(), FakeEmbedder(), time := Time())
    request = EmbeddingRequest("m", ("a",), deadline=time.now + 0.01)

    with pytest.raises(DeadlineExceeded):
        await space.send(request)


@pytest.mark.parametrize("refusal", [InputTooLong, InvalidRequest, UpstreamDefect])
async def test_a_text_beyond_the_engines_maximum_is_left_out_of_the_comparison(
    refusal: type[EmbeddingError],
) -> None:
    class Refusing(FakeEmbedder):
        async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
            if len(request.inputs[0]) > 5000:
                raise refusal("x")
            return await super().send(request)

    assert "fake" == (await layer(Refusing(), FakeEmbedder()).send(REQUEST)).served_by
