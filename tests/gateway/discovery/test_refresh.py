"""The list outlives outages, changes are told once, and the configuration wins."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from doubles.time import Time
from embedway_gateway.discovery import DiscoveredModel, Discovery, Found, Watched, group
from embedway_upstream import RateLimited, UpstreamUnreachable

OUTAGE = UpstreamUnreachable("the platform cannot be reached", detail="ClientConnectorError")


def found(name: str = "m", number: int = 1, **changes: object) -> Found:
    one = Found(
        name=name,
        engine="tei",
        platform="oci",
        url="https://h/x",
        invoke="predict",
        capabilities=frozenset({"embed"}),
        deployment=f"d{number}",
        source="s",
        state="ACTIVE",
    )
    return replace(one, **changes)  # type: ignore[arg-type]


class Script:
    """A source that gives its lists, or raises its errors, in turn; the last one for ever."""

    def __init__(self, *turns: list[Found] | Exception, name: str = "s") -> None:
        self.turns = list(turns)
        self.name = name

    async def list(self) -> Sequence[Found]:
        turn = self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]
        if isinstance(turn, Exception):
            raise turn
        return turn


def discovery(*sources: Script, **options: object) -> Discovery:
    watched = [Watched(source, 60.0) for source in sources]
    return Discovery(watched, **options)  # type: ignore[arg-type]


def names(one: Discovery) -> list[str]:
    return [model.name for model in one.models]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.INFO, "embedway.discovery")

    def take() -> list[str]:
        lines = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return lines

    return take


async def test_an_outage_keeps_the_list_and_is_said_once(log: Callable[[], list[str]]) -> None:
    one = discovery(Script([found()], OUTAGE, OUTAGE, OUTAGE, [found()], OUTAGE))
    seen: list[tuple[DiscoveredModel, ...]] = []
    one.subscribe(seen.append)
    await one.refresh()
    assert ["discovery: m appeared"] == log()

    for _ in range(3):
        await one.refresh()
        assert ["m"] == names(one)
        assert "cannot be reached (ClientConn" in one.status["s"].problem
    (line,) = log()
    assert "discovery s failed: the platform cannot be reached" in line
    assert "the last list stays, of 1" in line

    await one.refresh()
    assert ["discovery s answers again"] == log()
    assert "" == one.status["s"].problem
    await one.refresh()
    assert 1 == len(log())
    assert 1 == len(seen)


async def test_a_first_listing_that_fails_stops_nothing(log: Callable[[], list[str]]) -> None:
    one = discovery(Script(OUTAGE, [found()]), Script([found("other")], name="t"))
    await one.refresh()

    assert ["other"] == names(one)
    assert one.status["s"].listed_at is None
    assert any("no list" in line for line in log())
    await one.refresh()
    assert ["m", "other"] == names(one)


async def test_changes_are_one_line_each(log: Callable[[], list[str]]) -> None:
    before = [found("a", 1), found("b", 2), found("c", 3), found("e", 5)]
    after = [
        found("b", 2, state="UPDATING"),
        found("c", 3, url="https://h/y"),
        found("d", 4),
        found("e\nforged", 5),
    ]
    one = discovery(Script(before, after))
    seen: list[tuple[DiscoveredModel, ...]] = []
    one.subscribe(seen.append)
    await one.refresh()
    log()

    await one.refresh()
    expected = ["a is gone", "c changed", "d appeared", "e is gone", "'e\\nforged' appeared"]
    assert sorted(f"discovery: {word}" for word in expected) == sorted(log())
    assert 2 == len(seen)
    await one.refresh()
    assert [] == log()
    assert 2 == len(seen)


async def test_the_configuration_wins(log: Callable[[], list[str]]) -> None:
    listed = [found("m", 1, aliases=("minilm", "free")), found("fixed", 2)]
    one = discovery(Script(listed), static={"fixed", "minilm"})
    for _ in range(2):
        await one.refresh()

    (model,) = one.models
    assert ("m", ("free",)) == (model.name, model.aliases)
    assert 1 == log().count("fixed is found, but the configuration names it and wins")


async def test_listeners_can_leave_and_do_not_harm_each_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = discovery(Script([found("a")], [found("b")]))
    seen: list[str] = []

    def broken(_models: tuple[DiscoveredModel, ...]) -> None:
        raise RuntimeError("a bug")

    one.subscribe(broken)
    leave = one.subscribe(lambda models: seen.append(models[0].name))
    await one.refresh()
    leave()
    await one.refresh()

    assert ["a"] == seen
    assert ["b"] == names(one)
    assert "a listener of discovery failed" in caplog.text


async def test_a_bug_in_a_source_is_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    one = discovery(Script([found()], KeyError("planted"), [found("n")]))
    await one.refresh()
    await one.refresh()
    assert ["m"] == names(one)
    assert "a fault of ours: KeyError" == one.status["s"].problem
    assert 1 == caplog.text.count("Traceback")
    await one.refresh()
    assert ["n"] == names(one)


class Enough(Exception):
    """Ends the loop of a test."""


async def test_it_lists_at_its_interval_with_jitter() -> None:
    clock = Time()
    pauses = iter([0.0, 1.0, 0.5])

    async def sleep(seconds: float) -> None:
        await clock.sleep(seconds)
        if len(clock.slept) == 3:
            raise Enough

    one = discovery(Script([found()]), clock=clock, sleep=sleep, jitter=lambda: next(pauses))
    with pytest.raises(Enough):
        await one.run()
    assert [54.0, 66.0, 60.0] == pytest.approx(clock.slept)


@pytest.mark.parametrize(("asked", "pause"), [(5.0, 60.0), (120.0, 120.0), (9999.0, 600.0)])
async def test_a_platform_that_asks_for_patience_gets_it(asked: float, pause: float) -> None:
    clock = Time()

    async def sleep(seconds: float) -> None:
        await clock.sleep(seconds)
        raise Enough

    source = Script(RateLimited("slow down", retry_after=asked))
    one = discovery(source, clock=clock, sleep=sleep, jitter=lambda: 0.5)
    with pytest.raises(Enough):
        await one.run()
    assert [pause] == pytest.approx(clock.slept)


async def test_it_stops_when_it_is_cancelled() -> None:
    one, listed = discovery(Script([found()])), asyncio.Event()
    one.subscribe(lambda _models: listed.set())
    task = asyncio.create_task(one.run())
    await listed.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()


def test_a_name_that_two_models_claim_is_neithers() -> None:
    listed = [
        found("a", 1, aliases=("odsc-llm", "only-a", "b")),
        found("b", 2, aliases=("odsc-llm",)),
        found("a", 3, aliases=("odsc-llm",)),
    ]
    a, b = group(listed, frozenset())
    assert ("a", ("only-a",)) == (a.name, a.aliases)
    assert ["d1", "d3"] == [one.deployment for one in a.replicas]
    assert ("b", ()) == (b.name, b.aliases)

    (alone,) = group(listed[2:], frozenset())
    assert ("odsc-llm",) == alone.aliases


def test_what_two_sources_found_is_there_once() -> None:
    (model,) = group([found(), found(source="t")], frozenset())
    assert 1 == len(model.replicas)


def test_the_oldest_replica_is_the_first_whatever_its_id() -> None:
    listed = [found(number=1), found(number=2, created=7.5), found(number=3, created=7.0)]
    (model,) = group([*listed, found(number=0, created=7.5)], frozenset())

    assert ["d3", "d0", "d2", "d1"] == [one.deployment for one in model.replicas]


def test_sources_have_names_of_their_own() -> None:
    with pytest.raises(ValueError, match="same name"):
        discovery(Script([]), Script([]))
