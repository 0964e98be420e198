"""Texts of many callers in one call: when they wait, and what each caller gets."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from doubles.held import World, names, require_own, settle
from embedway_upstream import (
    DeadlineExceeded,
    EmbeddingRequest,
    Usage,
)


async def test_a_request_leaves_at_once_and_as_it_is_while_a_slot_is_free() -> None:
    world = World(2)
    loop = asyncio.get_running_loop()
    request = EmbeddingRequest("m", ("a", "b"), deadline=world.time.now + 5)

    coroutine = world.layer.send(request)
    task = loop.create_task(coroutine)
    await asyncio.sleep(0)

    # It has begun in the caller's own task, before anything else could run.
    assert [request] == [call.request for call in world.inner.calls]
    await world.inner.answer_all()
    require_own(task, "a", "b")


async def test_texts_gather_while_all_slots_are_busy_and_leave_together() -> None:
    world = World(max_inputs=32)
    await world.busy()
    tasks = [world.ask(text, kind="document") for text in names("t", 64)]
    await settle()

    assert 1 == len(world.inner.calls)

    await world.inner.answer_all()

    assert [1, 32, 32] == [len(texts) for texts in world.inner.texts]
    for text, task in zip(names("t", 64), tasks, strict=True):
        require_own(task, text)


async def test_what_no_bound_is_known_for_is_not_put_together_without_end() -> None:
    world = World()
    await world.busy()
    for text in names("t", 300):
        world.ask(text)
    await world.inner.answer_all()

    assert [1, 256, 44] == [len(texts) for texts in world.inner.texts]


async def test_a_large_request_is_cut_and_its_pieces_run_at_once() -> None:
    world = World(3, max_inputs=10)
    texts = names("t", 35)
    task = world.ask(*texts)
    await settle()

    assert [10, 10, 10] == [len(call.inputs) for call in world.inner.running]

    for call in reversed(world.inner.running):
        call.answer()
    await world.inner.answer_all()

    assert tuple(texts) == sum(world.inner.texts, ())
    require_own(task, *texts)


@pytest.mark.parametrize("bounds", [{"max_bytes": 4096 + 32}, {"max_text": 20}])
async def test_calls_are_kept_to_the_bounds_of_size(bounds: dict[str, int]) -> None:
    world = World(**bounds)
    await world.busy()
    tasks = [world.ask(text) for text in ["aaaaaaaaa", "bbbbbbbbb", "ccccc", "x" * 100, "d", "e"]]
    await world.inner.answer_all()

    assert [
        ("aaaaaaaaa", "bbbbbbbbb"),
        ("ccccc",),
        ("x" * 100,),
        ("d", "e"),
    ] == world.inner.texts[1:]
    require_own(tasks[3], "x" * 100)


async def test_identical_texts_are_sent_once_whoever_asks_for_them() -> None:
    world = World(24)
    tasks = [world.ask("same") for _ in range(24)]
    await settle()
    twice = world.ask("other", "same", "other")
    await world.inner.answer_all()

    assert [("same",), ("other",)] == world.inner.texts
    for task in tasks:
        require_own(task, "same")
    require_own(twice, "other", "same", "other")


async def test_texts_of_one_tenant_on_their_way_are_nobody_elses() -> None:
    world = World(1)
    tasks = [world.ask("same", tenant=tenant) for tenant in ("a", "b", "b", "")]
    await settle()
    await world.inner.answer_all()

    assert world.inner.texts == [("same",), ("same", "same")]
    for task in tasks:
        require_own(task, "same")


async def test_the_same_text_as_query_and_as_document_is_two() -> None:
    world = World(2)
    tasks = [world.ask("same", kind="query"), world.ask("same", kind="document")]
    await world.inner.answer_all()

    assert ["query", "document"] == [call.request.input_type for call in world.inner.calls]
    await asyncio.gather(*tasks)


async def test_a_text_of_other_dimensions_is_nobody_elses() -> None:
    world = World(2)
    short, full = world.ask("same", dimensions=2), world.ask("same")
    await settle()
    world.inner.calls[0].answer(vectors=np.ones((1, 2), np.float32))
    world.inner.calls[1].answer()

    assert (1, 2) == (await short).vectors.shape
    require_own(full, "same")


async def test_nobody_waits_past_the_deadline_and_the_others_are_not_kept_from_it() -> None:
    world = World()
    await world.busy()
    late = world.ask("a", deadline=world.time.now + 0.001)
    patient = world.ask("a", "b", deadline=world.time.now + 60)

    with pytest.raises(DeadlineExceeded, match="waited"):
        await late
    with pytest.raises(DeadlineExceeded, match="before its turn"):
        await world.ask("a", deadline=world.time.now)

    await world.inner.answer_all()

    require_own(patient, "a", "b")


async def test_a_calls_deadline_is_that_of_the_most_patient() -> None:
    world = World()
    now = world.time.now
    await world.busy()
    world.ask("a", deadline=now + 20)
    world.ask("b", deadline=now + 30)
    world.ask("c", kind="query", deadline=now + 20)
    world.ask("d", kind="query")
    await world.inner.answer_all()

    assert {("a", "b"): now + 30, ("c", "d"): None} == {
        call.inputs: call.request.deadline for call in world.inner.calls[1:]
    }


async def test_tokens_are_told_apart_and_add_up() -> None:
    world = World()
    await world.busy()
    tasks = [world.ask("aaaa"), world.ask("bbbbbbbb", "c"), world.ask("aaaa")]
    await settle()
    world.inner.running[0].answer()
    await settle()
    world.inner.running[0].answer(usage=Usage(27, 27))

    found = [(await task).usage for task in tasks]

    # 27 for 13 bytes.
    assert [(8, True), (19, True), (8, True)] == [
        (one.total_tokens, one.estimated) for one in found
    ]


async def test_tokens_that_were_counted_for_a_caller_alone_are_not_called_a_guess() -> None:
    world = World()
    await world.busy()
    tasks = [world.ask("aaaa", "bb"), world.ask("cc", "cc", kind="query")]
    await world.inner.answer_all()

    assert [Usage(6, 6), Usage(4, 4)] == [(await task).usage for task in tasks]


async def test_a_guess_of_the_upstreams_stays_one() -> None:
    world = World()
    await world.busy()
    task = world.ask("aaaa")
    await settle()
    world.inner.running[0].answer()
    await settle()
    world.inner.running[0].answer(usage=Usage(3, 3, estimated=True))

    assert Usage(3, 3, estimated=True) == (await task).usage


async def test_the_answer_says_who_served_and_of_a_fallback_first() -> None:
    world = World(2, max_inputs=1)
    task = world.ask("a", "b")
    await settle()
    world.inner.calls[0].answer(served_by="one")
    world.inner.calls[1].answer(served_by="two", fallback=True)
    response = await task

    assert ("m", "two", True) == (response.model, response.served_by, response.fallback)
