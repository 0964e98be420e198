"""Calls of many callers, some of whose texts get no vector: whose error it is, what it costs."""

from __future__ import annotations

import asyncio
import pickle

import numpy as np
import pytest

from doubles.held import World, names, outcomes, require_own, settle, vector
from embedway_upstream import BadReply, BadVector, EmbeddingRequest, EmbeddingResponse, Usage
from embedway_upstream.check import check

POISON = "the poisoned one"


class Poisoned:
    """Gives rows of NaN for poisoned texts; what else is in that reply is another text's."""

    def __init__(self, *poison: str) -> None:
        self.poison = poison
        self.calls: list[tuple[str, ...]] = []
        self.go = asyncio.Event()

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        self.calls.append(request.inputs)
        await self.go.wait()
        bad = [text in self.poison for text in request.inputs]
        rows = np.stack([vector(text) for text in request.inputs])
        if any(bad):
            rows = np.roll(rows, 1, axis=0)
            rows[bad] = np.nan
        return check(EmbeddingResponse("m", rows, Usage(1, 1), "poisoned"), request, None)


def require_told(error: object, *rows: int) -> None:
    assert isinstance(error, BadVector), error
    assert rows == error.rows
    assert POISON not in str(error)


async def test_only_the_callers_of_the_text_get_the_error_and_each_has_its_own_index() -> None:
    texts = [(text,) for text in names("t", 30)]
    inner = Poisoned(POISON)

    found = await outcomes(inner, *texts[:11], (POISON,), *texts[11:], ("beside", POISON))

    require_told(found[11], 0)
    require_told(found[31], 1)
    assert "for the text at index 1; change that text or leave it out" in str(found[31])
    for text, answer in zip(texts, [*found[:11], *found[12:31]], strict=True):
        require_own(answer, *text)
    # The busy one, all, the others again, the poisoned one alone.
    assert [1, 32, 31, 1] == [len(call) for call in inner.calls]


async def test_callers_of_several_such_texts_go_alone_each() -> None:
    inner = Poisoned(POISON, "another")

    found = await outcomes(inner, ("a", POISON, "b", POISON), ("c",), ("d", "another"))

    require_told(found[0], 1, 3)
    require_own(found[1], "c")
    require_told(found[2], 1)
    assert [("a", POISON, "b"), ("d", "another")] == inner.calls[-2:]


async def test_without_a_budget_each_caller_goes_alone_as_if_nobody_had_merged_them() -> None:
    inner = Poisoned(POISON)
    texts = [(text,) for text in names("t", 8)]

    found = await outcomes(inner, *texts, (POISON,), floor=0.0)

    require_told(found[-1], 0)
    assert [*texts, (POISON,)] == inner.calls[2:]


async def test_a_reply_without_any_vector_is_the_upstreams_fault_and_not_looked_into() -> None:
    inner = Poisoned("a", "b", "c")

    found = await outcomes(inner, ("a",), ("b",), ("c",))

    assert [BadReply] * 3 == [type(one) for one in found]
    assert [("busy",), ("a", "b", "c")] == inner.calls


async def test_one_caller_is_told_of_all_that_it_sent_in_one_call() -> None:
    inner = Poisoned(POISON, "another")

    found = await outcomes(inner, ("a", POISON, "b", "another"))

    require_told(found[0], 1, 3)
    assert "for the texts at index 1, 3; change those texts" in str(found[0])
    assert 2 == len(inner.calls)


async def test_who_joined_a_text_of_another_is_asked_for_anew() -> None:
    world = World()
    first, joined = world.ask("a", "b"), world.ask("b")
    await settle()
    world.inner.running[0].fail(BadVector("zeros", rows=[0]))
    with pytest.raises(BadVector):
        await first
    await world.inner.answer_all()

    assert [("a", "b"), ("b",)] == world.inner.texts
    require_own(joined, "b")


async def test_who_joined_the_only_text_of_another_has_its_own_index() -> None:
    world = World()
    first = world.ask("b")
    await settle()
    joined = world.ask("a", "b")
    await settle()
    world.inner.running[0].fail(BadVector("zeros", rows=[0]))
    await world.inner.answer_all()

    for task, row in ((first, 0), (joined, 1)):
        with pytest.raises(BadVector) as caught:
            await task
        require_told(caught.value, row)


async def test_nobody_may_have_joined_the_only_text() -> None:
    world = World()
    alone = world.ask("a")
    await settle()
    world.inner.running[0].fail(BadVector("zeros", rows=[0]))

    with pytest.raises(BadVector):
        await alone


def test_the_error_names_the_first_of_many_and_can_be_sent_to_another_process() -> None:
    error = BadVector("zeros", rows=range(20), upstream="up", detail="d")
    there = pickle.loads(pickle.dumps(error))

    assert "zeros for the texts at index 0, 1, 2, 3, 4, 5, 6, 7 and 12 more; change" in str(error)
    assert (error.args, vars(error)) == (there.args, vars(there))
    error.args = (f"{error.message} (request id 7)",)
    error.count(row + 100 for row in error.rows[:1])
    assert "zeros for the text at index 100; change that text or leave it out" == error.message
    assert f"{error.message} (request id 7)" == str(error)
