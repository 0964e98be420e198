"""Who defines the space is asked again beside those who are compared with it, and may hang."""

from __future__ import annotations

import asyncio

import pytest

from doubles.space import Changing, candidate, guard, settle
from doubles.time import Time
from embedway_gateway.layers.canary import CANARIES, canary_vectors
from embedway_gateway.layers.reference import Mark, Reference
from embedway_gateway.layers.space import SameSpace
from embedway_upstream import EmbeddingRequest, UpstreamUnreachable, WrongSpace

REQUEST = EmbeddingRequest("m", ("a",))


class Pair:
    """Two upstreams that may define the space, both proven; the first does."""

    def __init__(self) -> None:
        self.time = Time()
        self.services = Changing(), Changing()
        names = ("first", "second")
        found = [candidate(name, one) for name, one in zip(names, self.services, strict=True)]
        self.reference = Reference("m", found, clock=self.time)
        self.spaces = [
            guard(name, one, self.reference, self.time)
            for name, one in zip(names, self.services, strict=True)
        ]

    async def prove(self) -> None:
        for space in self.spaces:
            await space.prove()

    def hang(self, text: str = CANARIES[0]) -> asyncio.Event:
        """The first does not answer this text until the event."""
        first, _ = self.services
        first.gate, first.held = asyncio.Event(), text
        return first.gate


async def fail(space: SameSpace, service: Changing) -> None:
    service.fail(UpstreamUnreachable("x"))
    with pytest.raises(UpstreamUnreachable):
        await space.send(REQUEST)


async def test_who_agrees_does_not_wait_for_a_reference_that_hangs() -> None:
    pair = Pair()
    await pair.prove()
    pair.hang()
    pair.time.now += 301
    await fail(pair.spaces[1], pair.services[1])

    call = asyncio.create_task(pair.spaces[1].send(REQUEST))
    await settle()

    assert call.done()
    assert "fake" == (await call).served_by
    assert CANARIES[0] == pair.services[0].requests[-1].inputs[0], "it was asked, beside"


async def test_who_differs_is_not_refused_before_the_reference_was_asked_again() -> None:
    """Both are exchanged for one new model, and the first is slow to tell."""
    pair = Pair()
    await pair.prove()
    gate = pair.hang()
    pair.time.now += 301
    await fail(pair.spaces[1], pair.services[1])
    for service in pair.services:
        service.salt = "new "

    call = asyncio.create_task(pair.spaces[1].send(REQUEST))
    await settle()
    assert not call.done()
    gate.set()

    assert "fake" == (await call).served_by
    assert Mark(changes=1) == pair.reference.mark
    assert 0 == pair.spaces[1].strays


async def test_the_vectors_that_are_told_are_those_of_now() -> None:
    """The cache finds by them which model its entries are of."""
    pair = Pair()
    await pair.prove()
    before = await pair.reference.vectors()
    pair.services[0].salt = "new "
    pair.time.now += 301

    after = await pair.reference.vectors()

    assert before[0].tolist() != after[0].tolist()
    assert Mark(changes=1) == pair.reference.mark


async def test_an_answer_that_was_under_way_when_the_look_found_another_is_held_back() -> None:
    pair = Pair()
    await pair.prove()
    pair.services[0].salt = "new "
    pair.time.now += 301
    _, second = pair.services
    second.gate, second.held = asyncio.Event(), "a"
    call = asyncio.create_task(pair.spaces[1].send(REQUEST))
    await settle()
    assert Mark(changes=1) == pair.reference.mark
    second.gate.set()

    with pytest.raises(WrongSpace):
        await call


async def test_where_a_space_is_inherited_who_has_it_does_not_wait_for_the_first() -> None:
    before, pair = Pair(), Pair()
    await before.prove()
    pair.reference.inherit(before.reference)
    pair.hang()

    call = asyncio.create_task(pair.spaces[1].send(REQUEST))
    await settle()

    assert call.done()
    assert "fake" == (await call).served_by
    assert Mark() == pair.reference.mark


async def test_what_was_asked_for_before_a_look_does_not_undo_what_that_found() -> None:
    """The first is exchanged while its own comparison waits for the last text."""
    pair = Pair()
    await pair.prove()
    first, _ = pair.services
    gate = pair.hang(CANARIES[-1])
    pair.time.now += 301
    await pair.spaces[0].send(REQUEST)
    await settle()
    assert CANARIES[-1] == first.requests[-1].inputs[0]
    first.salt, first.held = "new ", ""
    pair.time.now += 1
    await pair.spaces[1].send(REQUEST)
    await settle()
    with pytest.raises(WrongSpace):
        await pair.spaces[1].send(REQUEST)
    assert Mark(changes=1) == pair.reference.mark

    gate.set()
    await pair.spaces[0].send(REQUEST)

    assert Mark(changes=1) == pair.reference.mark
    new = await canary_vectors(first, "m")
    assert new[0].tolist() == (await pair.reference.vectors())[0].tolist()


async def test_what_was_asked_for_before_the_upstream_was_compared_does_not_undo_that() -> None:
    """The look at the first hangs on its last text, and it is exchanged."""
    pair = Pair()
    await pair.prove()
    first, _ = pair.services
    gate = pair.hang(CANARIES[-1])
    pair.time.now += 301
    await pair.spaces[1].send(REQUEST)
    await settle()
    assert CANARIES[-1] == first.requests[-1].inputs[0]
    first.salt, first.held = "new ", ""
    pair.time.now += 1
    await fail(pair.spaces[0], first)
    await pair.spaces[0].send(REQUEST)
    assert Mark(changes=1) == pair.reference.mark

    gate.set()
    await settle()

    assert Mark(changes=1) == pair.reference.mark


async def test_a_look_at_one_that_only_stood_in_tells_nothing_once_the_first_is_back() -> None:
    pair = Pair()
    first, second = pair.services
    first.fail(UpstreamUnreachable("x"))
    await pair.spaces[1].prove()
    assert Mark(origin="second") == pair.reference.mark
    second.gate, second.held, second.salt = asyncio.Event(), CANARIES[0], "new "
    pair.time.now += 301

    await pair.spaces[0].send(REQUEST)
    await settle()
    second.gate.set()
    await settle()

    assert CANARIES[-1] == second.requests[-1].inputs[0]
    assert Mark() == pair.reference.mark
