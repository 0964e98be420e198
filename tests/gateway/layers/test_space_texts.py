"""Texts for which an upstream has no vector do not make it doubted, unless it has none for ours."""

from __future__ import annotations

import asyncio

import pytest

from doubles.space import Changing, layer, settle
from doubles.time import Time
from embedway_gateway.layers.canary import CANARIES
from embedway_upstream import BadReply, BadVector, EmbeddingRequest
from embedway_upstream.testing import FakeEmbedder

REQUEST = EmbeddingRequest("m", ("a",))


def lacking() -> BadVector:
    return BadVector("the upstream gave a vector of zeros", rows=[0])


async def test_the_others_go_on_while_it_is_compared_beside_them() -> None:
    inner = Changing()
    space = layer(inner, FakeEmbedder())
    await space.send(REQUEST)
    inner.fail(lacking())
    inner.gate, inner.held = asyncio.Event(), CANARIES[0]

    with pytest.raises(BadVector):
        await space.send(REQUEST)
    await settle()
    assert 1 + len(CANARIES) + 2 == len(inner.requests), "it is asked for the first of our texts"
    assert "fake" == (await space.send(REQUEST)).served_by
    inner.gate.set()
    await settle()

    assert "" == space.problem
    assert 2 * len(CANARIES) + 3 == len(inner.requests)


async def test_it_is_not_compared_for_each_of_them_but_once_a_minute() -> None:
    time, inner = Time(), Changing()
    space = layer(inner, FakeEmbedder(), time)
    await space.send(REQUEST)
    for passed in (0, 1, 58, 1):
        time.now += passed
        inner.fail(lacking())
        with pytest.raises(BadVector):
            await space.send(REQUEST)
        await settle()

    assert 3 * len(CANARIES) + 5 == len(inner.requests)


async def test_one_that_has_none_for_our_texts_either_is_found_and_is_itself_the_failure() -> None:
    inner = Changing()
    space = layer(inner, FakeEmbedder())
    await space.send(REQUEST)
    inner.fail(*[lacking()] * 3)
    with pytest.raises(BadVector):
        await space.send(REQUEST)
    await settle()

    why = "gave a vector of zeros for a text by which vectors are compared"
    assert space.problem == f"its vectors could not be compared: the upstream {why}"
    with pytest.raises(BadReply, match=why) as caught:
        await space.send(REQUEST)
    assert not isinstance(caught.value, BadVector)
    assert "fake" == (await space.send(REQUEST)).served_by
