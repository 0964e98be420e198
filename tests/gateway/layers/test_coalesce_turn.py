"""Who goes first while texts wait, and who is not let wait."""

from __future__ import annotations

import pytest

from doubles.held import World, names, require_own, settle
from embedway_upstream import (
    Overloaded,
)


async def test_small_requests_do_not_wait_for_a_large_one() -> None:
    world = World(max_inputs=32)
    await world.busy()
    world.ask(*names("large", 2048))
    small = [world.ask(text) for text in names("s", 50)]
    await settle()
    for _ in range(4):
        world.inner.running[0].answer()
        await settle()

    assert all(task.done() for task in small)
    assert [32, 0, 14] == [
        sum(text.startswith("large") for text in texts) for texts in world.inner.texts[1:4]
    ]
    await world.inner.answer_all()


async def test_requests_of_a_calls_size_are_not_torn_apart() -> None:
    world = World(max_inputs=32)
    await world.busy()
    for letter in "abc":
        world.ask(*names(letter, 32))
    await world.inner.answer_all()

    assert [{"a"}, {"b"}, {"c"}] == [{text[0] for text in texts} for texts in world.inner.texts[1:]]


async def test_queries_go_before_documents_that_came_earlier() -> None:
    world = World()
    await world.busy()
    world.ask("document")
    world.ask("query", kind="query")
    await world.inner.answer_all()

    assert [("query",), ("document",)] == world.inner.texts[1:]


@pytest.mark.parametrize("share", [0.9, 0.5])
async def test_while_both_wait_each_kind_gets_its_share_of_the_texts(share: float) -> None:
    world = World(max_inputs=10, share=share)
    await world.busy()
    for number in range(200):
        world.ask(*names(f"q{number}", 10), kind="query")
        world.ask(*names(f"d{number}", 10))
    await settle()
    for _ in range(101):
        world.inner.running[0].answer()
        await settle()

    calls = world.inner.calls[1:101]
    queries = sum(call.request.input_type == "query" for call in calls)
    assert round(100 * share) == pytest.approx(queries, abs=1)
    await world.inner.answer_all()


async def test_what_a_kind_got_while_it_was_alone_is_not_held_against_it() -> None:
    world = World(max_inputs=10)
    await world.busy()
    world.ask(*names("q", 10), kind="query")
    for number in range(50):
        world.ask(*names(f"d{number}", 10))
    await world.inner.answer_all()
    await world.busy()
    for number in range(20):
        world.ask(*names(f"q{number}", 10), kind="query")
        world.ask(*names(f"e{number}", 10))
    await settle()
    before = len(world.inner.calls)
    await world.inner.answer_all()

    kinds = [call.request.input_type for call in world.inner.calls[before:]]
    assert ["query", "document", *["query"] * 9, "document"] == kinds[:12]


async def test_ingestion_leaves_a_tenth_of_the_slots_to_queries_that_were_seen() -> None:
    world = World(20)
    await world.busy(1, kind="query")
    await world.inner.answer_all()
    await world.busy(30)

    assert 18 == len(world.inner.running)

    query = world.ask("now", kind="query")
    await settle()

    assert 19 == len(world.inner.running)
    assert ("now",) == world.inner.calls[-1].inputs
    await world.inner.answer_all()
    await query


async def test_ingestion_has_all_slots_where_nobody_searches() -> None:
    world = World(20)
    await world.busy(1, kind="query")
    await world.inner.answer_all()
    world.time.now += 11
    await world.busy(30)

    assert 20 == len(world.inner.running)
    await world.inner.answer_all()


async def test_ingestion_that_fills_its_queue_does_not_keep_queries_out() -> None:
    world = World(waiting=10)
    await world.busy()
    world.ask(*names("d", 10))
    await settle()

    with pytest.raises(Overloaded):
        await world.ask("one more")
    query = world.ask("query", kind="query")
    await world.inner.answer_all()

    require_own(query, "query")


async def test_one_slow_call_refuses_nobody() -> None:
    world = World(max_inputs=2)
    await fill(world, calls=9, seconds=0.1)
    await step(world, 500.0)
    deadline = world.time.now + 60
    tasks = [world.ask(*names("more", 20), deadline=deadline)]
    await settle()

    assert not tasks[0].done()
    await world.inner.answer_all()


async def test_what_would_surely_be_too_late_is_refused_at_once() -> None:
    world = World(max_inputs=2)
    await fill(world, calls=9, seconds=10.0)

    with pytest.raises(Overloaded) as found:
        await world.ask(*names("more", 20), deadline=world.time.now + 60)

    assert found.value.retry_after is not None
    assert found.value.retry_after > 60

    # Few texts take their turn before the many do, and nobody searches.
    small = world.ask("small", deadline=world.time.now + 200)
    query = world.ask("query", kind="query", deadline=world.time.now + 20)
    patient = world.ask(*names("patient", 20), deadline=world.time.now + 1000)
    await settle()

    assert not any(task.done() for task in (small, query, patient))
    await world.inner.answer_all()


async def test_queries_are_not_refused_for_documents_that_wait() -> None:
    world = World(max_inputs=2)
    await fill(world, calls=9, seconds=10.0)
    world.ask(*names("q", 4), kind="query")
    await settle()
    query = world.ask("one more", kind="query", deadline=world.time.now + 60)
    await settle()

    assert not query.done()
    await world.inner.answer_all()
    require_own(query, "one more")


async def test_a_few_slow_calls_say_nothing_yet() -> None:
    world = World(max_inputs=2)
    await fill(world, calls=4, seconds=10.0)
    task = world.ask(*names("more", 20), deadline=world.time.now + 60)
    await settle()

    assert not task.done()
    await world.inner.answer_all()


async def test_calls_of_one_text_tell_nothing_of_how_many_go_together() -> None:
    world = World(max_inputs=100)
    for number in range(20):
        await world.busy()
        task = world.ask(f"alone {number}")
        await settle()
        await step(world, 1.0)
        await step(world, 1.0)
        await task
    await world.busy()
    world.ask(*names("many", 300))
    await settle()
    task = world.ask("one more", deadline=world.time.now + 10)
    await settle()

    assert not task.done()
    await world.inner.answer_all()


async def step(world: World, seconds: float) -> None:
    """Let the call that runs take so long."""
    world.time.now += seconds
    world.inner.running[0].answer()
    await settle()


async def fill(world: World, *, calls: int, seconds: float) -> None:
    """Let many texts wait, and so many calls take some along."""
    await world.busy()
    world.ask(*names("waiting", 200))
    await settle()
    for _ in range(calls + 1):
        await step(world, seconds)
