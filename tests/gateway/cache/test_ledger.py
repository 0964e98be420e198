"""All who share a store agree on the model behind a name, and begin anew when it is another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from itertools import count

import numpy as np
import pytest

from doubles.redis_server import RedisServer
from embedway_gateway.cache.ledger import Ledger
from embedway_gateway.cache.memory import Memory
from embedway_gateway.cache.redis import RedisStore
from embedway_gateway.cache.store import Notes, Unavailable
from embedway_gateway.layers.canary import CANARIES, Canaries
from embedway_gateway.metric import Metrics
from embedway_upstream.testing import fake_vectors

MODEL = dict(enumerate(fake_vectors(CANARIES, 8)))
OTHER = dict(enumerate(fake_vectors([f"other {text}" for text in CANARIES], 8)))


@pytest.fixture(params=["memory", "redis"])
async def notes(request: pytest.FixtureRequest) -> AsyncIterator[Notes]:
    if request.param == "memory":
        yield Memory(10**6, Metrics()).notes
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    store = RedisStore(server.url, Metrics(), ttl=60, timeout=5, connections=8)
    yield store.notes
    await store.close()


def near(vectors: Canaries, cosine: float) -> Canaries:
    """Others that have this cosine with them."""
    found = {}
    for number, row in vectors.items():
        beside = np.roll(row, 1) - (np.roll(row, 1) @ row) * row
        beside /= np.linalg.norm(beside)
        found[number] = (cosine * row + np.sqrt(1 - cosine**2) * beside).astype(np.float32)
    return found


async def test_notes_are_exchanged_once(notes: Notes) -> None:
    assert await notes.exchange(b"k", None, b"1")
    assert not await notes.exchange(b"k", None, b"2")
    assert not await notes.exchange(b"k", b"2", b"2")
    assert await notes.exchange(b"k", b"1", b"3")
    assert b"3" == await notes.read(b"k")


async def test_the_same_model_has_the_same_name_for_all(notes: Notes) -> None:
    name = await Ledger(notes).settle("space", MODEL)

    assert name == await Ledger(notes).settle("space", MODEL)
    assert name == await Ledger(notes).settle("space", near(MODEL, 0.9995))
    assert name != await Ledger(notes).settle("other space", MODEL)


async def test_another_model_begins_anew_and_the_old_name_never_returns(
    notes: Notes, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger(notes)
    with caplog.at_level(logging.WARNING):
        names = [await ledger.settle("space", one) for one in (MODEL, OTHER, MODEL, OTHER)]

    assert 4 == len(set(names))
    assert 3 == len(caplog.records)


@pytest.mark.parametrize(
    "found",
    [
        near(MODEL, 0.99),
        {number: row[:4] for number, row in MODEL.items()},
        {number: 7.3 * row for number, row in MODEL.items()},
    ],
)
async def test_a_little_different_is_another_model(notes: Notes, found: Canaries) -> None:
    ledger = Ledger(notes)

    assert await ledger.settle("space", MODEL) != await ledger.settle("space", found)


async def test_a_model_that_is_only_alike_in_part_of_the_texts_is_another(notes: Notes) -> None:
    ledger = Ledger(notes)
    name = await ledger.settle("space", MODEL)

    assert name == await ledger.settle("space", {n: row for n, row in MODEL.items() if n < 7})
    assert name != await ledger.settle("space", {n: row for n, row in MODEL.items() if n > 0})


async def test_what_cannot_be_trusted_is_given_up(notes: Notes) -> None:
    ledger = Ledger(notes)
    name = await ledger.settle("space", MODEL)
    renewed = await ledger.settle("space", MODEL, renew=True)

    assert name != renewed
    assert renewed == await ledger.settle("space", MODEL)


async def test_all_who_find_another_model_at_once_agree_on_one_name(notes: Notes) -> None:
    await Ledger(notes).settle("space", MODEL)
    names = await asyncio.gather(*(Ledger(notes).settle("space", OTHER) for _ in range(8)))

    assert 1 == len(set(names))


async def test_a_note_that_is_none_is_replaced(redis_server: RedisServer) -> None:
    store = RedisStore(redis_server.url, Metrics(), ttl=60, timeout=5, connections=8)
    ledger = Ledger(store.notes)
    name = await ledger.settle("space", MODEL)
    with redis_server.open() as client:
        (key,) = client.keys()
        assert 60 < client.ttl(key) <= 60 + 3600
        client.set(key, b"nonsense")

    renewed = await ledger.settle("space", MODEL)
    assert name != renewed
    assert renewed == await ledger.settle("space", MODEL)
    await store.close()


class Contested:
    """Notes that somebody else changes each time."""

    def __init__(self) -> None:
        self.exchanges = 0

    async def read(self, key: bytes) -> bytes | None:
        return None

    async def exchange(self, key: bytes, old: bytes | None, new: bytes) -> bool:
        self.exchanges += 1
        return False


async def test_it_gives_up_when_others_are_always_quicker() -> None:
    notes = Contested()
    numbers = count()
    with pytest.raises(Unavailable):
        await Ledger(notes, name=lambda: f"{next(numbers):032}").settle("space", MODEL)

    assert 4 == notes.exchanges
