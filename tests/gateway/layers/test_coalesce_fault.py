"""Errors of calls that many share: whose they are, and what finding that out may cost."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from doubles.held import World, names, outcomes, require_own, settle, vector
from embedway_upstream import (
    BadReply,
    DeadlineExceeded,
    EmbeddingError,
    EmbeddingRequest,
    EmbeddingResponse,
    InputTooLong,
    InvalidRequest,
    Overloaded,
    RateLimited,
    UpstreamDefect,
    UpstreamFailed,
    UpstreamTimeout,
    Usage,
)
from embedway_upstream.platforms.error import AmbiguousFailure, PlatformLimited

POISON = "the poisoned one"


class Refusing:
    """Fails calls with the poisoned text, or all; counts."""

    def __init__(self, error: EmbeddingError, *, always: bool = False) -> None:
        self.error, self.always = error, always
        self.calls: list[tuple[str, ...]] = []
        self.go = asyncio.Event()

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        self.calls.append(request.inputs)
        await self.go.wait()
        if POISON in request.inputs or (self.always and "busy" not in request.inputs):
            raise self.error
        rows = np.stack([vector(text) for text in request.inputs])
        return EmbeddingResponse(request.model, rows, Usage(1, 1), "refusing")


@pytest.mark.parametrize("kind", [InvalidRequest, InputTooLong, UpstreamDefect, AmbiguousFailure])
async def test_a_poisoned_text_is_found_and_only_its_callers_get_the_error(
    kind: type[EmbeddingError],
) -> None:
    texts = [(text,) for text in names("t", 30)]
    inner = Refusing(kind("no"))

    found = await outcomes(inner, *texts[:11], (POISON,), *texts[11:], (POISON, "beside"))

    errors = [one for one in found if isinstance(one, BaseException)]
    assert [kind, kind] == [type(one) for one in errors]
    assert errors[0] is not errors[1]
    assert [found[11], found[31]] == errors
    for text, answer in zip(texts, [*found[:11], *found[12:31]], strict=True):
        require_own(answer, *text)
    # Halving 32 texts five times, and the busy one.
    assert 2 + 2 * 5 >= len(inner.calls) - 2


async def test_the_poisoned_text_of_one_caller_alone_is_not_looked_for() -> None:
    inner = Refusing(InvalidRequest("no"))

    found = await outcomes(inner, (*names("t", 9), POISON))

    assert InvalidRequest is type(found[0])
    assert 2 == len(inner.calls)


async def test_without_a_budget_each_caller_goes_alone_as_if_nobody_had_merged_them() -> None:
    inner = Refusing(InvalidRequest("no"), always=True)
    texts = [(f"{text} 1", f"{text} 2") for text in names("t", 16)]

    found = await outcomes(inner, *texts, floor=0.0)

    assert {InvalidRequest} == {type(one) for one in found}
    assert 1 + 1 + 16 == len(inner.calls)
    assert list(texts) == inner.calls[2:]


async def test_an_outage_that_looks_like_a_poisoned_text_costs_no_more_than_the_budget() -> None:
    inner = Refusing(AmbiguousFailure("500"), always=True)

    found = await outcomes(inner, *[(text,) for text in names("t", 64)], floor=4.0)

    assert {AmbiguousFailure} == {type(one) for one in found}
    assert 1 + 1 + 4 == len(inner.calls)


@pytest.mark.parametrize(
    "error",
    [
        UpstreamFailed("500", upstream="up", detail="secret"),
        UpstreamTimeout("slow", upstream="up"),
        RateLimited("slow down", upstream="up", retry_after=7),
        PlatformLimited("tenancy", scope="tenancy", upstream="up", retry_after=3),
        InputTooLong("long", param="input", code="c", limit=512, upstream="up"),
        Overloaded("full", retry_after=2),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_each_caller_has_an_error_of_its_own_with_all_that_it_says(
    error: EmbeddingError,
) -> None:
    error.most_retries = 0
    inner = Refusing(error)

    found = await outcomes(inner, (POISON,), (POISON,))

    assert found[0] is not found[1]
    for one in found:
        assert type(error) is type(one)
        assert (error.args, vars(error)) == (one.args, vars(one))
        assert error is one.__cause__
    assert 2 == len(inner.calls)


async def test_an_error_of_ours_ends_all_callers_and_frees_the_slot() -> None:
    world = World()
    await world.busy()
    tasks = [world.ask("a"), world.ask("b")]
    await settle()
    world.inner.running[0].answer()
    await settle()
    world.inner.running[0].fail(ZeroDivisionError())

    found = await asyncio.gather(*tasks, return_exceptions=True)

    assert [ZeroDivisionError, ZeroDivisionError] == [type(one) for one in found]
    after = world.ask("c")
    await world.inner.answer_all()
    require_own(after, "c")


@pytest.mark.parametrize("rows", [np.ones((1, 4)), np.ones((3, 4)), np.ones(4)])
async def test_another_number_of_vectors_than_of_texts_is_nobodys(rows: Any) -> None:
    world = World()
    first, joined = world.ask("a", "b"), world.ask("b")
    merged = world.ask("c"), world.ask("d")
    await settle()
    world.inner.running[0].answer(vectors=rows)
    await settle()
    world.inner.running[0].answer(vectors=rows)

    for task in (first, joined, *merged):
        with pytest.raises(BadReply, match="one vector for each"):
            await task


async def test_vectors_of_two_sizes_are_not_put_together() -> None:
    world = World(2, max_inputs=1)
    task = world.ask("a", "b")
    await settle()
    world.inner.calls[0].answer()
    world.inner.calls[1].answer(vectors=np.ones((1, 3), np.float32))

    with pytest.raises(BadReply, match="size"):
        await task


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        (UpstreamFailed("x"), 1),
        (RateLimited("x"), 1),
        (InvalidRequest("x"), 2),
        (UpstreamDefect("x"), 2),
        (AmbiguousFailure("x"), 2),
        (Overloaded("x"), 2),
        (DeadlineExceeded("x"), 2),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_who_joined_a_text_of_another_has_no_error_that_may_be_about_the_others_texts(
    error: EmbeddingError, sent: int
) -> None:
    world = World()
    first, joined = world.ask("a", "b"), world.ask("b")
    await settle()
    world.inner.running[0].fail(error)

    with pytest.raises(type(error)):
        await first
    await world.inner.answer_all()

    assert [("a", "b"), ("b",)][:sent] == world.inner.texts
    if sent == 1:
        with pytest.raises(type(error)):
            await joined
    else:
        require_own(joined, "b")


async def test_who_joined_the_only_text_of_another_shares_its_refusal() -> None:
    world = World()
    tasks = [world.ask("a"), world.ask("a")]
    await settle()
    world.inner.running[0].fail(InvalidRequest("x"))

    for task in tasks:
        with pytest.raises(InvalidRequest):
            await task
    assert 1 == len(world.inner.calls)


async def test_the_deadline_of_a_call_is_not_that_of_who_joined_it_later() -> None:
    world = World()
    now = world.time.now
    await world.busy()
    hasty = world.ask("a", "b", deadline=now + 10)
    await settle()
    world.inner.running[0].answer()
    await settle()
    patient = world.ask("b", deadline=now + 50)
    await settle()
    world.inner.running[0].fail(DeadlineExceeded("the request's deadline passed"))

    with pytest.raises(DeadlineExceeded):
        await hasty
    await world.inner.answer_all()

    assert [("a", "b"), ("b",)] == world.inner.texts[1:]
    require_own(patient, "b")


async def test_a_text_that_was_refused_may_be_asked_for_while_the_others_are_still_tried() -> None:
    world = World()
    world.inner.poison = {POISON}
    await world.busy()
    tasks = [world.ask(POISON), world.ask("a")]
    await settle()
    for _ in range(3):
        # The busy one, both, the poisoned one alone.
        world.inner.running[0].answer()
        await settle()
    with pytest.raises(InvalidRequest):
        await tasks[0]
    again = world.ask(POISON)
    await world.inner.answer_all()

    require_own(tasks[1], "a")
    with pytest.raises(InvalidRequest):
        await again
