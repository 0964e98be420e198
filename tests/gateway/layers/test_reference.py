"""What defines a model's vector space, who may, and what a change of it comes to."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doubles.space import Changing, candidate, guard
from doubles.time import Time
from embedway_gateway.layers.canary import CANARIES, canary_vectors
from embedway_gateway.layers.reference import Mark, Reference
from embedway_gateway.layers.route import Route, Target
from embedway_upstream import (
    BadReply,
    EmbeddingError,
    EmbeddingRequest,
    InvalidRequest,
    RateLimited,
    UpstreamDefect,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
    WrongSpace,
)
from embedway_upstream.platforms.error import AmbiguousFailure

REQUEST = EmbeddingRequest("m", ("a",))
FAILURES = [
    UpstreamUnreachable("x"),
    UpstreamTimeout("x"),
    UpstreamFailed("x"),
    UpstreamDefect("x"),
    UpstreamRefused("x"),
    BadReply("x"),
    RateLimited("x"),
    InvalidRequest("x"),
    AmbiguousFailure("x"),
]


def reference_of(*services: Changing, time: Time | None = None) -> Reference:
    names = ("first", "second", "third")
    found = [candidate(name, one) for name, one in zip(names, services, strict=False)]
    return Reference("m", found, clock=time or Time())


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
async def test_the_next_defines_the_space_while_the_first_gives_no_vectors(
    error: EmbeddingError,
) -> None:
    first, second = Changing(), Changing()
    reference = reference_of(first, second)
    first.fail(error)

    await guard("second", second, reference).send(REQUEST)

    assert Mark(origin="second") == reference.mark


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
async def test_one_that_is_stated_is_never_stood_in_for(error: EmbeddingError) -> None:
    first, second = Changing(), Changing()
    reference = Reference("m", [candidate("first", first)])
    first.fail(*[error] * 3)

    for _ in range(3):
        with pytest.raises(UpstreamFailed):
            await guard("second", second, reference).send(REQUEST)


async def test_that_the_reference_is_away_opens_nobody_elses_breaker() -> None:
    time, first, second = Time(), Changing(), Changing()
    reference = Reference("m", [candidate("first", first)], clock=time)
    first.fail(*[UpstreamUnreachable("x")] * 9)
    target = Target("second", guard("second", second, reference, time))
    route = Route([target], clock=time)

    for _ in range(9):
        with pytest.raises(UpstreamFailed, match="'first', which defines") as failed:
            await route.send(REQUEST)
        assert "first" == failed.value.upstream

    assert "closed" == target.breaker.state(time.now)
    assert "fake" == (await route.send(REQUEST)).served_by


async def test_the_first_takes_its_place_back_when_it_agrees() -> None:
    first, second = Changing(), Changing()
    reference = reference_of(first, second)
    first.fail(UpstreamUnreachable("x"))
    space = guard("second", second, reference)
    await space.send(REQUEST)

    await guard("first", first, reference).send(REQUEST)

    assert Mark() == reference.mark
    await space.send(REQUEST)


async def test_the_first_is_quarantined_when_it_differs_from_who_stood_in() -> None:
    first, second = Changing(salt="other "), Changing()
    reference = reference_of(first, second)
    first.fail(UpstreamUnreachable("x"))
    await guard("second", second, reference).send(REQUEST)

    with pytest.raises(WrongSpace, match="differ from those of 'second'"):
        await guard("first", first, reference).send(REQUEST)
    assert Mark(origin="second") == reference.mark
    assert REQUEST not in first.requests


async def test_once_there_the_vectors_stay_though_who_gave_them_is_away() -> None:
    time, first, second = Time(), Changing(), Changing()
    reference = reference_of(first, second, time=time)
    await guard("first", first, reference, time).prove()
    first.fail(*[UpstreamUnreachable("x")] * 99)
    time.now += 1000

    await guard("second", second, reference, time).send(REQUEST)

    assert Mark() == reference.mark
    assert len(CANARIES) == len(await reference.vectors())


async def test_a_change_is_seen_through_the_others_too() -> None:
    time, first, second = Time(), Changing(), Changing()
    reference = reference_of(first, second, time=time)
    await guard("first", first, reference, time).prove()
    first.salt = "other "
    time.now += 301

    with pytest.raises(WrongSpace):
        await guard("second", second, reference, time).send(REQUEST)

    assert Mark(changes=1) == reference.mark


async def test_a_text_that_was_refused_first_is_compared_once_it_is_there() -> None:
    first, second = Changing(), Changing()
    reference = reference_of(first)
    whole = await canary_vectors(first, "m")
    last = len(CANARIES) - 1
    await reference.judge("first", "fp32", {n: row for n, row in whole.items() if n != last})
    await reference.judge("first", "fp32", whole)

    assert last in await reference.vectors()
    second.salt = "other "
    foreign = await canary_vectors(second, "m")
    verdict = await reference.judge("second", "fp32", {**whole, last: foreign[last]})
    assert "different on long ones" in verdict.reason


async def test_small_steps_do_not_add_up() -> None:
    """The vectors that were taken first are what later ones are held against."""
    first = Changing()
    reference = reference_of(first)
    whole = await canary_vectors(first, "m")
    other = await canary_vectors(Changing(salt="other "), "m")

    for step in range(40):
        share = step * 0.004
        moved = {n: (1 - share) * row + share * other[n] for n, row in whole.items()}
        await reference.judge("first", "fp32", moved)

    assert reference.mark.changes >= 1


async def test_a_space_is_inherited_and_held_against_all() -> None:
    before = reference_of(Changing())
    await before.vectors()
    good, bad = Changing(), Changing(salt="other ")
    after = reference_of(bad, good)
    after.inherit(before)

    with pytest.raises(WrongSpace):
        await guard("first", bad, after).send(REQUEST)
    await guard("second", good, after).send(REQUEST)
    assert Mark() == after.mark


async def test_an_inherited_space_that_nobody_has_any_more_is_left_and_that_is_told() -> None:
    before = reference_of(Changing())
    await before.vectors()
    new = Changing(salt="other ")
    after = reference_of(new, Changing(salt="third "))
    after.inherit(before)

    await guard("first", new, after).send(REQUEST)

    assert Mark(changes=1) == after.mark


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
async def test_an_inherited_space_is_not_left_while_one_that_may_have_it_is_silent(
    error: EmbeddingError,
) -> None:
    """A moment without an answer at a reload must not hand the name to a quarantined upstream."""
    first, second = Changing(), Changing(salt="other ")
    before = reference_of(first)
    await before.vectors()
    after = reference_of(first, second)
    after.inherit(before)
    foreign = guard("second", second, after)
    first.fail(error)

    with pytest.raises(UpstreamFailed, match="'first', which may have the model's vectors still"):
        await foreign.send(REQUEST)
    await guard("first", first, after).send(REQUEST)
    with pytest.raises(WrongSpace, match="differ from those of 'first'"):
        await foreign.send(REQUEST)

    assert Mark() == after.mark
    assert REQUEST not in second.requests


async def test_the_first_deployment_gives_its_mark_to_what_another_defined_for_it() -> None:
    """As gateways show that began while it answered."""
    first, second = Changing(), Changing()
    found = [candidate("first", first, identity="1"), candidate("second", second, identity="2")]
    reference = Reference("m", found, clock=Time())
    assert Mark("1") == reference.mark
    first.fail(UpstreamUnreachable("x"))
    await guard("second", second, reference).send(REQUEST)
    assert Mark("2") == reference.mark
    await guard("first", first, reference).send(REQUEST)

    assert Mark("1") == reference.mark


async def test_what_a_deployment_defined_keeps_its_mark_when_that_is_gone() -> None:
    before = Reference("m", [candidate("first", Changing(), identity="1")])
    await before.vectors()
    second = Changing()
    time = Time()
    after = Reference("m", [candidate("second", second, identity="2")], clock=time)
    after.inherit(before)
    space = guard("second", second, after, time)
    await space.send(REQUEST)
    assert Mark("1") == after.mark

    second.salt = "other "
    time.now += 301
    await after.vectors()
    assert Mark("2", changes=1) == after.mark


async def test_a_deployment_that_comes_back_as_another_has_another_mark_than_before() -> None:
    """Also where a third defined the space in between."""
    first, other = candidate("first", Changing(), identity="1"), Changing(salt="other ")
    references = [Reference("m", [first])]
    await references[0].vectors()
    exchanged = candidate("first", Changing(salt="third "), identity="1")
    for found in (candidate("second", other, identity="2"), exchanged):
        references.append(Reference("m", [found]))
        references[-1].inherit(references[-2])
        await references[-1].vectors()

    assert [Mark("1"), Mark("2"), Mark("1", changes=1)] == [one.mark for one in references]


SALTS = st.sampled_from(["", "other "])
EVENT = st.tuples(st.integers(0, 2), SALTS | st.none())


@settings(deadline=None)
@given(st.lists(EVENT, max_size=30), st.sampled_from(["named", "stated", "found"]))
def test_whatever_happens_all_that_is_served_under_one_mark_is_of_one_space(
    events: list[tuple[int, str | None]], known: str
) -> None:
    """Upstreams go away (None) and come back as this or that, in any order."""
    asyncio.run(_simulate(events, known))


async def _simulate(events: list[tuple[int, str | None]], known: str) -> None:
    time = Time()
    services = [Changing() for _ in range(3)]
    names = ["first", "second", "third"]
    found = [
        candidate(name, one, identity=name if known == "found" else "")
        for name, one in zip(names, services, strict=True)
    ]
    reference = Reference("m", found[:1] if known == "stated" else found, clock=time)
    spaces = [guard(name, one, reference, time) for name, one in zip(names, services, strict=True)]
    served: dict[Mark, set[str]] = {}
    for place in (*range(3), *range(3)):
        await spaces[place].prove()
    for place, salt in events:
        one = services[place]
        if salt is None or salt != one.salt:
            one.fail(UpstreamUnreachable("x"))
            with pytest.raises(EmbeddingError):
                await spaces[place].send(REQUEST)
            one.fail()
        one.salt = one.salt if salt is None else salt
        time.now += 61
        for space, service in zip(spaces, services, strict=True):
            try:
                await space.send(REQUEST)
            except WrongSpace:
                continue
            served.setdefault(reference.mark, set()).add(service.salt)
    assert all(len(salts) == 1 for salts in served.values())
