"""Callers that go away, at every moment: what they leave behind, and for whom it goes on."""

from __future__ import annotations

import asyncio
import gc

import pytest

from doubles.held import Task, World, names, require_clean, require_own, settle
from embedway_gateway.layers.flight import Call, Caller, Text
from embedway_upstream import DeadlineExceeded, InvalidRequest, UpstreamFailed


async def leave(task: Task) -> None:
    task.cancel()
    await settle()
    assert task.cancelled()


async def test_who_leaves_while_waiting_frees_its_texts() -> None:
    world = World()
    await world.busy()
    gone, stays = world.ask("a", "b"), world.ask("c")
    await settle()
    await leave(gone)
    await world.inner.answer_all()

    assert [("c",)] == world.inner.texts[1:]
    require_own(stays, "c")
    require_clean(world)


async def test_what_others_wait_for_too_is_kept_when_its_first_caller_leaves() -> None:
    world = World()
    await world.busy()
    gone, stays = world.ask("a", "b"), world.ask("b")
    await settle()
    await leave(gone)
    await world.inner.answer_all()

    assert [("b",)] == world.inner.texts[1:]
    require_own(stays, "b")
    require_clean(world)


async def test_a_call_goes_on_until_all_its_callers_have_left() -> None:
    world = World()
    await world.busy()
    first, second = world.ask("a"), world.ask("b")
    await settle()
    world.inner.running[0].answer()
    await settle()
    await leave(first)

    assert [("a", "b")] == [call.inputs for call in world.inner.running]

    await leave(second)

    assert not world.inner.running
    require_clean(world)


async def test_who_asks_for_a_text_of_a_call_that_is_being_given_up_gets_it() -> None:
    world = World()
    await world.busy()
    gone = world.ask("a")
    await settle()
    world.inner.running[0].answer()
    await settle()
    gone.cancel()
    late = world.ask("a")
    await settle()
    later = world.ask("a")
    await world.inner.answer_all()

    assert [("a",), ("a",)] == world.inner.texts[1:]
    require_own(late, "a")
    require_own(later, "a")
    require_clean(world)


@pytest.mark.parametrize("ticks", range(6))
async def test_a_caller_that_leaves_while_its_call_begins_holds_no_slot(ticks: int) -> None:
    world = World()
    await world.busy()
    gone = world.ask("a")
    await settle()
    world.inner.running[0].answer()
    for _ in range(ticks):
        await asyncio.sleep(0)
    gone.cancel()
    await settle()
    after = world.ask("a", "b")
    await world.inner.answer_all()

    require_own(after, "a", "b")
    require_clean(world)


async def test_a_caller_that_is_cancelled_before_its_call_has_begun_holds_no_slot() -> None:
    world = World()
    busy = await world.busy()
    gone = world.ask("a")
    await settle()
    # Both are woken in one turn of the loop, the caller first: its call is made between.
    gone.cancel()
    busy[0].cancel()
    await settle()
    after = world.ask("b")
    await world.inner.answer_all()

    require_own(after, "b")
    require_clean(world)


async def test_a_call_made_in_the_moment_its_caller_leaves_holds_no_slot() -> None:
    world = World()
    busy = await world.busy()
    gone = world.ask("a")
    await settle()
    busy[0].cancel()
    gone.cancel()
    await settle()
    late = world.ask("a")
    await world.inner.answer_all()

    require_own(late, "a")
    require_clean(world)


async def test_who_joined_the_text_of_a_caller_that_leaves_gets_it_all_the_same() -> None:
    world = World()
    gone = world.ask("a", "b")
    await settle()
    stays = [world.ask("b"), world.ask("b", "c")]
    await settle()
    await leave(gone)
    await world.inner.answer_all()

    assert [("a", "b"), ("b", "c")] == world.inner.texts
    for task, texts in zip(stays, (("b",), ("b", "c")), strict=True):
        require_own(task, *texts)
    require_clean(world)


async def test_joined_texts_that_are_left_and_asked_for_anew_come_with_the_first_call() -> None:
    world = World()
    first = world.ask("a", "b")
    await settle()
    joined = world.ask("b")
    await settle()
    await leave(joined)
    again = world.ask("b")
    await world.inner.answer_all()

    assert [("a", "b")] == world.inner.texts
    require_own(first, "a", "b")
    require_own(again, "b")
    require_clean(world)


async def test_a_text_that_was_left_while_its_call_is_taken_apart_can_be_asked_for() -> None:
    world = World()
    world.inner.poison = {"poison"}
    await world.busy()
    tasks = [world.ask(text) for text in ("poison", "a", "b", "c")]
    await settle()
    for _ in range(2):
        world.inner.running[0].answer()
        await settle()
    await leave(tasks[3])
    while "b" not in world.inner.running[0].inputs:
        world.inner.running[0].answer()
        await settle()

    assert ("b",) == world.inner.running[0].inputs

    late = world.ask("c")
    await world.inner.answer_all()

    require_own(late, "c")
    require_own(tasks[1], "a")
    require_own(tasks[2], "b")
    with pytest.raises(InvalidRequest):
        await tasks[0]
    require_clean(world)


async def test_one_failed_piece_hangs_up_on_the_others_of_the_request() -> None:
    world = World(3, max_inputs=2)
    task = world.ask(*names("t", 8))
    await settle()
    world.inner.running[1].fail(UpstreamFailed("x"))

    with pytest.raises(UpstreamFailed):
        await task
    await settle()

    assert not world.inner.running
    require_clean(world)


async def test_an_error_for_a_caller_that_has_just_left_is_not_called_forgotten() -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
    world = World()
    await world.busy()
    gone = world.ask("a")
    await settle()
    world.inner.running[0].answer()
    await settle()
    world.inner.running[0].fail(UpstreamFailed("x"))
    # The call ends in the next turn of the loop, and its caller in the one after it.
    await asyncio.sleep(0)
    gone.cancel()
    await settle()
    del gone
    gc.collect()

    assert [] == complaints
    require_clean(world)


async def test_a_deadline_while_the_call_runs_hangs_up_on_it() -> None:
    world = World()
    await world.busy()
    task = world.ask("a", deadline=world.time.now + 0.001)
    await settle()
    world.inner.running[0].answer()
    with pytest.raises(DeadlineExceeded):
        await task
    await settle()

    assert not world.inner.running
    require_clean(world)


async def test_a_call_that_is_cancelled_from_outside_ends_its_callers() -> None:
    world = World()
    await world.busy()
    task = world.ask("a")
    await settle()
    world.inner.running[0].answer()
    await settle()
    for one in world.layer._tasks:
        one.cancel()
    await settle()

    assert task.cancelled()
    require_clean(world)


def kept() -> int:
    gc.collect()
    return sum(isinstance(one, Call | Caller | Text) for one in gc.get_objects())


async def test_nothing_is_kept_of_a_request_that_was_served() -> None:
    before = kept()
    world = World()
    await world.busy()
    world.ask("a", deadline=world.time.now + 60)
    await world.inner.answer_all()

    assert before == kept()
