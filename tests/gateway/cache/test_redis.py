"""A cache in Redis: what comes back is what was stored, and what fails costs hits and no more."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable

import pytest
from prometheus_client import generate_latest

from doubles.redis_server import PASSWORD, RedisServer
from doubles.serving import free_port
from doubles.time import Time
from embedway_gateway.cache.redis import RedisStore
from embedway_gateway.cache.store import Unavailable
from embedway_gateway.metric import Metrics

KEYS = [bytes([number]) * 32 for number in range(10)]
ENTRIES = [(key, key[:4] * 100) for key in KEYS]
VALUES = [value for _, value in ENTRIES]

Make = Callable[..., RedisStore]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
async def make(redis_server: RedisServer, metrics: Metrics, clock: Time) -> AsyncIterator[Make]:
    made = []

    def make_one(url: str = redis_server.url, *, timeout: float = 5, ttl: float = 60) -> RedisStore:
        made.append(RedisStore(url, metrics, ttl=ttl, timeout=timeout, connections=4, clock=clock))
        return made[-1]

    yield make_one
    for store in made:
        await store.close()


@pytest.fixture
async def store(make: Make) -> RedisStore:
    """With ten values in it."""
    made = make()
    made.put(ENTRIES)
    await made.written()
    return made


def errors(metrics: Metrics) -> dict[str, float]:
    found = {}
    for line in generate_latest(metrics.registry).decode().splitlines():
        if line.startswith("embedway_cache_errors_total{"):
            found[line.split('"')[1]] = float(line.rpartition(" ")[2])
    return found


async def test_values_come_back_in_the_order_of_the_keys(store: RedisStore, make: Make) -> None:
    wanted = [KEYS[3], b"?" * 32, KEYS[0], KEYS[3]]

    assert [VALUES[3], None, VALUES[0], VALUES[3]] == await store.get(wanted)
    assert VALUES == await make().get(KEYS), "of another process"


async def test_entries_end_with_their_ttl(store: RedisStore, redis_server: RedisServer) -> None:
    with redis_server.open() as client:
        left = {client.pttl(key) for key in client.scan_iter()}

    assert 50_000 < min(left) <= max(left) <= 60_000


async def test_many_texts_are_read_and_written_in_few_commands(
    make: Make, redis_server: RedisServer
) -> None:
    store = make()
    with redis_server.open() as client:
        client.config_resetstat()
    keys = [number.to_bytes(32, "big") for number in range(300)]
    store.put([(key, key * 10) for key in keys])
    await store.written()
    assert [key * 10 for key in keys] == await store.get(keys)
    with redis_server.open() as client:
        stats = client.info("commandstats")

    assert 3 == stats["cmdstat_mget"]["calls"]
    assert 300 == stats["cmdstat_set"]["calls"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: b"",
        lambda raw: b"nonsense",
        lambda raw: raw[:-1],
        lambda raw: raw + b"\0",
        lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]),
        lambda raw: b"\x02" + raw[1:],
    ],
)
async def test_foreign_bytes_under_our_keys_are_no_vectors(
    store: RedisStore,
    redis_server: RedisServer,
    metrics: Metrics,
    spoil: Callable[[bytes], bytes],
) -> None:
    name = b"embedway:1:" + KEYS[2]
    with redis_server.open() as client:
        raw = client.get(name)
        assert isinstance(raw, bytes)
        client.set(name, spoil(raw))

    assert [VALUES[1], None, VALUES[3]] == await store.get(KEYS[1:4])
    assert {"broken": 1.0} == errors(metrics)


async def test_a_value_under_the_key_of_another_text_is_not_its_vector(
    store: RedisStore, redis_server: RedisServer, metrics: Metrics
) -> None:
    with redis_server.open() as client:
        client.copy(b"embedway:1:" + KEYS[1], b"embedway:1:" + KEYS[2], replace=True)
        client.delete(b"embedway:1:" + KEYS[3])
        client.rpush(b"embedway:1:" + KEYS[3], "a list")

    assert [None, None] == await store.get(KEYS[2:4])
    assert {"broken": 1.0} == errors(metrics)


@pytest.mark.parametrize("answer", [[b"one"], 7, None, [None] * 9])
async def test_the_answer_to_something_else_is_none(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch, answer: object
) -> None:
    """Of a connection that lost its step; the next keys must not move up."""

    async def other(_names: object) -> object:
        return answer

    monkeypatch.setattr(store._redis, "mget", other)

    assert [None] * 10 == await store.get(KEYS)


async def test_calls_that_are_given_up_leave_no_answer_for_the_next(store: RedisStore) -> None:
    """The fault that showed users of a chat service the titles of others' chats."""
    for turn in range(60):
        task = asyncio.create_task(store.get([KEYS[turn % 10]]))
        for _ in range(turn % 7):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

        assert [VALUES[(turn + 1) % 10]] == await store.get([KEYS[(turn + 1) % 10]])


async def test_a_flushed_server_has_no_hits(store: RedisStore, redis_server: RedisServer) -> None:
    with redis_server.open() as client:
        client.flushall()

    assert [None] * 10 == await store.get(KEYS)
    store.put(ENTRIES)
    await store.written()
    assert VALUES == await store.get(KEYS)


async def test_a_server_that_died_is_left_alone_and_found_again(
    store: RedisStore, redis_server: RedisServer, metrics: Metrics, clock: Time
) -> None:
    redis_server.kill()
    for _ in range(20):
        assert [None] * 10 == await store.get(KEYS)
        store.put(ENTRIES)
        await store.written()
    assert {"read": 1.0} == errors(metrics), "asked once"

    redis_server.start()
    assert [None] * 10 == await store.get(KEYS), "it rests"
    clock.now += 1
    store.put(ENTRIES)
    await store.written()
    assert VALUES == await store.get(KEYS)


async def test_a_server_that_hangs_costs_one_timeout(
    make: Make, store: RedisStore, redis_server: RedisServer, clock: Time, metrics: Metrics
) -> None:
    hasty = make(timeout=0.2)
    assert VALUES == await hasty.get(KEYS)
    redis_server.hang()
    try:
        begun = time.monotonic()
        found = await asyncio.gather(*(hasty.get(KEYS) for _ in range(50)))
        for _ in range(50):
            found.append(await hasty.get(KEYS))
        hasty.put(ENTRIES)
        await hasty.written()
        taken = time.monotonic() - begun
    finally:
        redis_server.wake()

    assert [[None] * 10] * 100 == found
    assert 0.1 < taken < 1.5
    clock.now += 1
    assert VALUES == await store.get(KEYS)
    assert VALUES == await hasty.get(KEYS)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere.invalid:6379"])
async def test_a_server_that_is_not_there_raises_nothing(make: Make, address: str) -> None:
    store = make(f"redis://:{PASSWORD}@{address}/0")

    assert [None] * 10 == await store.get(KEYS)
    store.put(ENTRIES)
    await store.written()
    with pytest.raises(Unavailable):
        await store.notes.read(KEYS[0])


async def test_one_that_answers_in_another_language_raises_nothing(make: Make) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", port := free_port())
    store = make(f"redis://127.0.0.1:{port}")

    assert [None] * 10 == await store.get(KEYS)
    server.close()
    await server.wait_closed()


async def test_a_server_without_room_is_still_read(
    store: RedisStore, redis_server: RedisServer, metrics: Metrics
) -> None:
    with redis_server.open() as client:
        client.config_set("maxmemory", "1")
    try:
        store.put([(b"x" * 32, b"new")])
        await store.written()

        assert VALUES == await store.get(KEYS)
        assert {"write": 1.0} == errors(metrics)
    finally:
        with redis_server.open() as client:
            client.config_set("maxmemory", "0")


async def test_what_waits_to_be_written_is_bounded(store: RedisStore, metrics: Metrics) -> None:
    megabyte = bytes(2**20)
    store.put([(number.to_bytes(32, "big"), megabyte) for number in range(40)])
    waiting = store._waiting_bytes
    await store.written()

    assert 32 * 2**20 == waiting
    assert {"dropped": 8.0} == errors(metrics)
    assert 0 == store._waiting_bytes


async def test_connections_are_bounded(store: RedisStore, redis_server: RedisServer) -> None:
    await asyncio.gather(*(store.get(KEYS) for _ in range(100)))
    with redis_server.open() as client:
        ours = [one for one in client.client_list() if one["cmd"] == "mget"]

    assert 1 <= len(ours) <= 4


@pytest.mark.parametrize("wrong", ["wrong-pa55word", PASSWORD])
async def test_the_password_is_never_shown(
    make: Make,
    redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    wrong: str,
    metrics: Metrics,
) -> None:
    caplog.set_level(logging.DEBUG)
    store = make(redis_server.url.replace(PASSWORD, wrong))
    if wrong == PASSWORD:
        redis_server.kill()
    try:
        assert [None] * 10 == await store.get(KEYS)
    finally:
        if wrong == PASSWORD:
            redis_server.start()
    with pytest.raises(Unavailable) as caught:
        await store.notes.read(KEYS[0])

    shown = [repr(store), str(caught.value), repr(caught.value.__cause__), *capfd.readouterr()]
    shown += [caplog.text, generate_latest(metrics.registry).decode()]
    assert wrong not in "\n".join(shown)
    assert "go without it" in caplog.text
