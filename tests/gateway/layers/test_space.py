"""An upstream serves only when its vectors are the model's."""

from __future__ import annotations

import numpy as np
import pytest

from doubles.time import Time
from embedway_gateway.layers.space import CANARIES, Reference, SameSpace, agreement
from embedway_upstream import (
    EmbeddingRequest,
    EmbeddingResponse,
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
    one = fake_vectors(["a", "b"], 8)
    other = one.copy()
    other[1] = -other[1]

    assert 1.0 == pytest.approx(agreement(one, one * 3))
    assert -1.0 == pytest.approx(agreement(one, other))
    assert -1.0 == agreement(one, np.zeros((2, 4), np.float32))
