"""The cache in memory holds what is used, within its bytes."""

from __future__ import annotations

import os
import tracemalloc

from prometheus_client import generate_latest

from embedway_gateway.cache.memory import ENTRY_BYTES, GHOST_BYTES, Memory
from embedway_gateway.metric import Metrics

VALUE = bytes(1544)
COST = len(VALUE) + ENTRY_BYTES


def keys(name: str, count: int) -> list[bytes]:
    return [f"{name}{number}".encode().ljust(32) for number in range(count)]


async def found(memory: Memory, wanted: list[bytes]) -> int:
    return sum(value is not None for value in await memory.get(wanted))


async def test_what_was_put_is_there_in_the_order_of_the_keys() -> None:
    memory = Memory(10**6, Metrics())
    memory.put([(b"a", b"1"), (b"b", b"2")])

    assert [b"2", None, b"1"] == await memory.get([b"b", b"c", b"a"])


async def test_a_value_that_is_put_again_replaces_the_old_one() -> None:
    memory = Memory(10**6, Metrics())
    memory.put([(b"a", b"1"), (b"a", b"22")])

    assert [b"22"] == await memory.get([b"a"])
    assert (1, 2 + ENTRY_BYTES) == (len(memory), memory.bytes)


async def test_it_stays_within_its_bytes() -> None:
    memory = Memory(100 * COST, Metrics())
    for key in keys("k", 1000):
        memory.put([(key, VALUE)])
        await memory.get([key] * (key[-1] % 3))

        assert memory.bytes <= 100 * COST
    held = sum(len(VALUE) + ENTRY_BYTES for _ in range(len(memory)))
    assert memory.bytes == held + GHOST_BYTES * len(memory._ghosts)
    assert len(memory) >= 85, "most of it is for entries"


async def test_a_scan_of_texts_that_come_once_leaves_what_is_used() -> None:
    """Ten times its room of ingestion passes through; an LRU would have kept none."""
    memory = Memory(200 * COST, Metrics())
    hot = keys("hot", 50)
    memory.put([(key, VALUE) for key in hot])
    await memory.get(hot)

    for key in keys("once", 2000):
        memory.put([(key, VALUE)])

    assert 50 == await found(memory, hot)


async def test_what_comes_back_soon_after_it_left_is_kept() -> None:
    memory = Memory(200 * COST, Metrics())
    memory.put([(key, VALUE) for key in keys("filling", 300)])
    late = keys("late", 10)
    memory.put([(key, VALUE) for key in late])
    memory.put([(key, VALUE) for key in keys("between", 190)])
    assert 0 == await found(memory, late)

    memory.put([(key, VALUE) for key in late])
    memory.put([(key, VALUE) for key in keys("scan", 400)])

    assert 10 == await found(memory, late)


async def test_what_is_no_longer_used_goes() -> None:
    memory = Memory(100 * COST, Metrics())
    old = keys("old", 50)
    memory.put([(key, VALUE) for key in old])
    await memory.get(old)
    for turn in range(20):
        new = keys(f"new{turn}-", 50)
        memory.put([(key, VALUE) for key in new])
        await memory.get(new)

    assert 0 == await found(memory, old)


async def test_a_value_larger_than_its_share_is_not_kept() -> None:
    memory = Memory(10 * COST, Metrics())
    memory.put([(b"small", b"1"), (b"large", bytes(2 * COST))])

    assert [b"1", None] == await memory.get([b"small", b"large"])


async def test_it_takes_no_more_memory_than_it_says() -> None:
    for count in (11_000, 22_000, 30_000):
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        memory = Memory(10**9, Metrics())
        for _ in range(count):
            key = os.urandom(32)
            memory.put([(key, os.urandom(40))])
            await memory.get([key])
        taken = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()

        assert 0.7 * memory.bytes < taken < memory.bytes


async def test_it_tells_what_it_holds() -> None:
    metrics = Metrics()
    memory = Memory(50 * COST, metrics)
    memory.put([(key, VALUE) for key in keys("k", 80)])
    shown = generate_latest(metrics.registry).decode()

    assert f"embedway_cache_entries {float(len(memory))}" in shown
    assert f"embedway_cache_bytes {float(memory.bytes)}" in shown
    assert f"embedway_cache_evictions_total {float(80 - len(memory))}" in shown
