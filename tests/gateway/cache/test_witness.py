"""What is cached is used while the model was seen lately, and is what it was."""

from __future__ import annotations

import pytest

from doubles.time import Time
from embedway_gateway.cache.ledger import Ledger
from embedway_gateway.cache.memory import Memory
from embedway_gateway.cache.store import Notes
from embedway_gateway.cache.witness import Witness
from embedway_gateway.layers.canary import CANARIES, Canaries
from embedway_gateway.metric import Metrics
from embedway_upstream import UpstreamUnreachable
from embedway_upstream.testing import fake_vectors


class World:
    """A model that can be replaced, fail, and be found to have strayed."""

    def __init__(self) -> None:
        self.time = Time()
        self.salt = ""
        self.away = False
        self.asked = 0
        self.fingerprint: str | None = "vs1"
        self.strays = 0
        self.notes: Notes = Memory(10**6, Metrics()).notes
        self.witness = self.another()

    def another(self) -> Witness:
        """As of a process that begins now."""
        return Witness(
            self.canaries,
            Ledger(self.notes),
            fingerprint=lambda: self.fingerprint,
            strays=lambda: self.strays,
            clock=self.time,
        )

    async def canaries(self) -> Canaries:
        self.asked += 1
        if self.away:
            raise UpstreamUnreachable("x")
        return dict(enumerate(fake_vectors([self.salt + text for text in CANARIES], 8)))

    async def name(self, witness: Witness | None = None) -> str | None:
        """After what a first look begins."""
        witness = witness or self.witness
        witness.space()
        await witness.settled()
        return witness.space()


@pytest.fixture
def world() -> World:
    return World()


async def test_there_is_no_name_until_the_model_was_seen(world: World) -> None:
    assert world.witness.space() is None
    await world.witness.settled()

    assert (await world.name() or "").startswith("vs1/")
    assert 1 == world.asked


async def test_it_is_asked_every_five_minutes_beside_the_traffic(world: World) -> None:
    name = await world.name()
    world.time.now += 299
    assert name == await world.name()
    assert 1 == world.asked

    world.time.now += 2
    assert name == world.witness.space()
    await world.witness.settled()
    assert 2 == world.asked


async def test_a_model_that_is_away_serves_for_ten_minutes(world: World) -> None:
    name = await world.name()
    world.away = True
    for _ in range(60):
        world.time.now += 10
        assert name == await world.name()
    assert 30 < world.asked - 1 < 33, "every ten seconds, once it was due"

    world.time.now += 1
    assert await world.name() is None
    world.away = False
    world.time.now += 10
    assert name == await world.name()


async def test_after_a_silence_nothing_is_used_before_the_model_was_seen(world: World) -> None:
    name = await world.name()
    world.time.now += 3600

    assert world.witness.space() is None
    await world.witness.settled()
    assert name == world.witness.space()


async def test_a_replaced_model_has_another_name(world: World) -> None:
    name = await world.name()
    world.salt = "other "
    world.time.now += 301

    assert await world.name() not in {None, name}


async def test_a_process_that_begins_takes_over_what_is_of_its_model(world: World) -> None:
    name = await world.name()
    assert name == await world.name(world.another())
    world.salt = "other "

    assert await world.name(world.another()) not in {None, name}


async def test_another_fingerprint_counts_at_once(world: World) -> None:
    name = await world.name()
    world.fingerprint = "vs2"
    assert world.witness.space() is None
    await world.witness.settled()
    renamed = world.witness.space()

    assert renamed not in {None, name}
    world.fingerprint = None
    assert await world.name() is None


async def test_what_an_upstream_left_that_strayed_is_given_up_once(world: World) -> None:
    name = await world.name()
    world.strays = 1
    assert world.witness.space() is None
    await world.witness.settled()
    renamed = world.witness.space()

    assert renamed not in {None, name}
    world.time.now += 301
    assert renamed == await world.name()
    assert 3 == world.asked


async def test_a_change_while_the_ledger_is_asked_is_noticed(world: World) -> None:
    class Slow:
        """Notes during whose reading an upstream turns out to have strayed."""

        async def read(self, key: bytes) -> bytes | None:
            world.strays = 1
            return await notes.read(key)

        async def exchange(self, key: bytes, old: bytes | None, new: bytes) -> bool:
            return await notes.exchange(key, old, new)

    notes, world.notes = world.notes, Slow()
    witness = Witness(
        world.canaries,
        Ledger(world.notes),
        fingerprint=lambda: world.fingerprint,
        strays=lambda: world.strays,
        clock=world.time,
    )
    witness.space()
    await witness.settled()

    assert witness.space() is None
    await witness.settled()
    assert witness.space() is not None
    assert 2 == world.asked


async def test_once_ended_it_asks_no_more(world: World) -> None:
    world.witness.space()
    world.witness.end()
    assert await world.name() is None
    assert 0 == world.asked

    witness = world.another()
    assert await world.name(witness) is not None
    witness.end()
    world.fingerprint = "vs2"
    assert await world.name(witness) is None
    assert 1 == world.asked
