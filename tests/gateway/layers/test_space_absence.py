"""An upstream that was away is not trusted before it was compared again; nor what it answered."""

from __future__ import annotations

import asyncio

import pytest

from doubles.space import Changing, candidate, guard, layer, settle
from doubles.time import Time
from embedway_gateway.layers.canary import CANARIES
from embedway_gateway.layers.reference import Reference
from embedway_gateway.layers.steady import SpaceChanged, Steady
from embedway_upstream import (
    EmbeddingError,
    EmbeddingRequest,
    EmbeddingResponse,
    Overloaded,
    RateLimited,
    UpstreamDefect,
    UpstreamTimeout,
    UpstreamUnreachable,
    WrongSpace,
)
from embedway_upstream.testing import FakeEmbedder

REQUEST = EmbeddingRequest("m", ("a",))
OTHER = EmbeddingRequest("m", ("b",))


def together() -> UpstreamTimeout:
    error = UpstreamTimeout("x")
    error.fewer_may_pass = True
    return error


async def test_an_upstream_that_comes_back_as_another_is_noticed() -> None:
    inner = Changing()
    space = layer(inner, FakeEmbedder())
    await space.send(REQUEST)

    inner.fail(UpstreamUnreachable("x"))
    with pytest.raises(UpstreamUnreachable):
        await space.send(REQUEST)
    inner.salt = "other "

    with pytest.raises(WrongSpace):
        await space.send(REQUEST)


async def test_the_one_that_defines_the_space_is_compared_with_itself() -> None:
    inner = Changing()
    reference = Reference("m", [candidate("only", inner)])
    space = guard("only", inner, reference)
    await space.prove()
    before = reference.mark
    inner.fail(UpstreamUnreachable("x"))
    with pytest.raises(UpstreamUnreachable):
        await space.send(REQUEST)
    assert before == reference.mark
    inner.salt = "other "

    await space.send(REQUEST)

    assert before.changes + 1 == reference.mark.changes
    assert REQUEST == inner.requests[-1], "only after the change was seen"


@pytest.mark.parametrize("salt", ["", "other "])
async def test_an_answer_of_one_that_others_saw_fail_waits_for_the_comparison(salt: str) -> None:
    """It may have come from the model that is there now, before that was noticed."""
    inner = Changing()
    space = guard("only", inner, Reference("m", [candidate("only", inner)]))
    await space.prove()
    inner.gate, inner.held, inner.salt = asyncio.Event(), "a", salt
    waiting = asyncio.create_task(space.send(REQUEST))
    await settle()
    inner.fail(UpstreamUnreachable("x"))
    with pytest.raises(UpstreamUnreachable):
        await space.send(OTHER)

    inner.gate.set()
    if salt:
        with pytest.raises(SpaceChanged):
            await waiting
    else:
        assert "fake" == (await waiting).served_by


async def test_an_answer_that_was_under_way_when_the_reference_changed_is_held_back() -> None:
    time, inner, first = Time(), Changing(), Changing()
    reference = Reference("m", [candidate("first", first)], clock=time)
    space = guard("second", inner, reference, time)
    await space.prove()
    inner.gate, inner.held = asyncio.Event(), "a"
    waiting = asyncio.create_task(space.send(REQUEST))
    await settle()

    first.salt = "other "
    await guard("first", first, reference, time).prove()
    inner.gate.set()

    with pytest.raises(WrongSpace):
        await waiting


async def test_an_answer_that_was_under_way_when_it_was_found_foreign_is_held_back() -> None:
    time, inner = Time(), Changing()
    space = layer(inner, FakeEmbedder(), time)
    await space.prove()
    inner.gate, inner.held, inner.salt = asyncio.Event(), "a", "other "
    time.now += 301
    waiting = asyncio.create_task(space.send(REQUEST))
    await settle()
    assert space.quarantined
    inner.gate.set()

    with pytest.raises(WrongSpace):
        await waiting


async def test_a_failure_during_a_comparison_makes_it_begin_anew() -> None:
    """Else the first canaries would be of the model that was, and all of it would be trusted."""
    time, inner = Time(), Changing()
    space = layer(inner, FakeEmbedder(), time)
    await space.prove()
    inner.gate, inner.held = asyncio.Event(), CANARIES[-1]
    time.now += 301
    await space.send(REQUEST)
    await settle()
    assert CANARIES[-1] == inner.requests[-1].inputs[0], "all others were embedded as before"
    inner.fail(UpstreamUnreachable("x"))
    with pytest.raises(UpstreamUnreachable):
        await space.send(REQUEST)
    inner.salt, inner.held = "other ", ""
    inner.requests.clear()

    inner.gate.set()
    with pytest.raises(WrongSpace):
        await space.send(REQUEST)
    assert len(CANARIES) == len(inner.requests)


async def test_what_was_taken_of_two_models_never_becomes_the_reference() -> None:
    time, inner = Time(), Changing()
    reference = Reference("m", [candidate("only", inner)], clock=time)
    space = guard("only", inner, reference, time)
    await space.prove()
    inner.gate, inner.held = asyncio.Event(), CANARIES[3]
    time.now += 301
    await space.send(REQUEST)
    await settle()
    inner.fail(UpstreamUnreachable("x"))
    with pytest.raises(UpstreamUnreachable):
        await space.send(REQUEST)
    inner.salt = "other "

    inner.gate.set()
    await space.send(REQUEST)

    assert 1 == reference.mark.changes


async def test_a_failure_while_the_reference_is_asked_makes_it_begin_anew_too() -> None:
    time, inner, first = Time(), Changing(), Changing()
    reference = Reference("m", [candidate("first", first)], clock=time)
    space = guard("second", inner, reference, time)
    await space.prove()
    first.gate, first.held = asyncio.Event(), CANARIES[0]
    time.now += 301
    await space.send(REQUEST)
    await settle()
    inner.fail(UpstreamUnreachable("x"))
    with pytest.raises(UpstreamUnreachable):
        await space.send(REQUEST)
    inner.salt = "other "

    first.gate.set()
    with pytest.raises(WrongSpace):
        await space.send(REQUEST)


@pytest.mark.parametrize("error", [UpstreamDefect("x"), together()])
async def test_a_request_that_an_upstream_cannot_do_is_no_absence(error: EmbeddingError) -> None:
    inner = Changing()
    space = layer(inner, FakeEmbedder())
    await space.send(REQUEST)
    inner.fail(error)
    count = len(inner.requests)
    with pytest.raises(type(error)):
        await space.send(REQUEST)

    await space.send(REQUEST)

    assert count + 2 == len(inner.requests)


@pytest.mark.parametrize(
    ("before", "after", "served"),
    [("a", "a", True), (None, "a", True), (None, None, True), ("a", "b", False)],
)
async def test_a_whole_answer_is_of_one_space(
    before: str | None, after: str | None, served: bool
) -> None:
    found = [before]

    class Changer(FakeEmbedder):
        async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
            found[0] = after
            return await super().send(request)

    steady = Steady(Changer(), lambda: found[0])
    if served:
        assert "fake" == (await steady.send(REQUEST)).served_by
    else:
        with pytest.raises(SpaceChanged):
            await steady.send(REQUEST)


class Busy(Changing):
    """Has no capacity for a comparison while there is an `error`."""

    error: EmbeddingError | None = None
    refused = 0

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        if self.error is not None and request.inputs[0] in CANARIES:
            self.refused += 1
            raise self.error
        return await super().send(request)


@pytest.mark.parametrize("error", [RateLimited("slow down"), Overloaded("no room")])
@pytest.mark.parametrize("silence", [301, 601])
async def test_no_capacity_for_a_comparison_changes_nothing(
    error: EmbeddingError, silence: int
) -> None:
    time, inner = Time(), Busy()
    space = layer(inner, FakeEmbedder(), time)
    await space.send(REQUEST)
    inner.gate, inner.held = asyncio.Event(), "a"
    waiting = asyncio.create_task(space.send(REQUEST))
    await settle()
    inner.error = error
    time.now += silence
    if silence > 600:
        with pytest.raises(type(error)):
            await space.send(OTHER)
    else:
        assert "fake" == (await space.send(OTHER)).served_by
        await settle()

    assert ("", 1) == (space.problem, inner.refused)
    inner.gate.set()
    assert "fake" == (await waiting).served_by


async def test_a_comparison_for_which_there_was_no_capacity_is_made_soon() -> None:
    time, inner = Time(), Busy()
    space = layer(inner, FakeEmbedder(), time)
    await space.send(REQUEST)
    inner.error, inner.salt = RateLimited("slow down"), "other "
    time.now += 301
    for _ in range(3):
        await space.send(REQUEST)
        await settle()
    assert 1 == inner.refused, "not with every request"
    inner.error = None
    time.now += 5
    await space.send(REQUEST)
    await settle()

    assert "cosine" in space.quarantined


async def test_what_was_seen_to_fail_is_not_trusted_for_want_of_capacity() -> None:
    inner = Busy()
    space = layer(inner, FakeEmbedder())
    await space.send(REQUEST)
    inner.fail(UpstreamUnreachable("x"))
    with pytest.raises(UpstreamUnreachable):
        await space.send(REQUEST)
    inner.error = RateLimited("slow down")

    with pytest.raises(RateLimited):
        await space.send(REQUEST)
    assert "its vectors could not be compared: slow down" == space.problem
