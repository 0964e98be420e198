"""Usage is kept: added up by all who write, once each, and read by day."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from doubles.redis_server import RedisServer, running_redis
from embedway_gateway.metric import Metrics
from embedway_gateway.usage.book import Book, BookUnavailable
from embedway_gateway.usage.redis import RedisBook
from embedway_gateway.usage.row import Row, summed
from embedway_gateway.usage.sqlite import SQLiteBook
from embedway_gateway.usage.tally import Tally

DAY = 86400


def redis_book(server: RedisServer) -> RedisBook:
    return RedisBook(server.url, Metrics(), timeout=5, connections=4, keep=1000)


@pytest.fixture(params=["sqlite", "redis"])
async def book(
    request: pytest.FixtureRequest, tmp_path: Path, redis_server: RedisServer
) -> AsyncIterator[Book]:
    sqlite = request.param == "sqlite"
    one: Book = SQLiteBook(tmp_path / "usage.sqlite") if sqlite else redis_book(redis_server)
    yield one
    await one.close()


async def test_what_is_added_is_summed_by_day_key_and_model(book: Book) -> None:
    rows = [
        Row("2027-01-01", "a", "m", 1, 2, 3, 0, 1, 0),
        Row("2027-01-01", "b", "org/m:x", 5, 5, 5, 5, 5, 5),
    ]
    await book.add(rows, batch="one")
    await book.add([rows[0], Row("2027-01-02", "a", "m", requests=7)], batch="two")

    assert await book.read() == [
        Row("2027-01-01", "a", "m", 2, 4, 6, 0, 2, 0),
        rows[1],
        Row("2027-01-02", "a", "m", requests=7),
    ]
    assert await book.read(since=date(2027, 1, 2)) == [Row("2027-01-02", "a", "m", requests=7)]
    assert len(await book.read(until=date(2027, 1, 1))) == 2
    assert await book.read(since=date(2028, 1, 1)) == []


async def test_a_batch_counts_once_in_redis_however_often_it_is_sent(
    redis_server: RedisServer,
) -> None:
    book = redis_book(redis_server)
    for _ in range(3):
        await book.add([Row("2027-01-01", "a", "m", requests=1)], batch="same")

    assert [row.requests for row in await book.read()] == [1]
    await book.close()


async def test_what_is_known_of_batches_outlasts_an_outage_and_does_not_grow(
    redis_server: RedisServer,
) -> None:
    books = [redis_book(redis_server) for _ in range(2)]
    for book in books:
        for batch in ("one", "two", "two", "three"):
            await book.add([Row("2027-01-01", "a", "m", requests=1)], batch=batch)
    assert [row.requests for row in await books[0].read()] == [6]
    with redis_server.open() as client:
        kept = list(client.scan_iter("embedway:1:usage:process:*"))
        # The days, one day, and one for each process.
        assert (client.dbsize(), len(kept)) == (4, 2)
        assert min(client.ttl(one) for one in kept) > 6 * DAY
    for book in books:
        await book.close()


async def test_what_redis_does_not_take_or_give_is_counted_once(tmp_path: Path) -> None:
    metrics = Metrics()

    def counted() -> float | None:
        return metrics.registry.get_sample_value("embedway_usage_errors_total")

    with running_redis(tmp_path) as server:
        book = RedisBook(server.url, metrics, timeout=5, connections=4, keep=1000)
    with pytest.raises(BookUnavailable):
        await book.read()
    assert counted() == 1
    await book.close()
    # Another: the first one's line leaves the server alone for a while.
    book = RedisBook(server.url, metrics, timeout=5, connections=4, keep=1000)
    tally = Tally(book, metrics)
    tally.add("a", "m")
    await tally.close()
    assert counted() == 2


def test_sums_are_over_what_is_not_told_apart() -> None:
    rows = [
        Row("2027-01-01", "a", "m", requests=1),
        Row("2027-01-02", "a", "n", requests=2),
        Row("2027-01-02", "b", "n", requests=4),
    ]

    assert summed(rows, ["key"]) == [Row("", "a", "", requests=3), Row("", "b", "", requests=4)]
    assert summed(rows, []) == [Row("", "", "", requests=7)]
    assert summed(rows, ["day", "model"])[-1] == Row("2027-01-02", "", "n", requests=6)


def test_many_writers_of_one_file_lose_nothing(tmp_path: Path) -> None:
    def write(name: str) -> None:
        book = SQLiteBook(tmp_path / "usage.sqlite")
        for number in range(20):
            row = Row("2027-01-01", "a", "m", requests=1, tokens=number)
            asyncio.run(book.add([row], batch=f"{name}{number}"))
        asyncio.run(book.close())

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    (row,) = asyncio.run(SQLiteBook(tmp_path / "usage.sqlite").read())

    assert (row.requests, row.tokens) == (80, 4 * sum(range(20)))


_WRITER = """
import asyncio, sys
from pathlib import Path
from embedway_gateway.usage.row import Row
from embedway_gateway.usage.sqlite import SQLiteBook
book = SQLiteBook(Path(sys.argv[1]))
rows = [Row("2027-01-01", f"k{n}", "m", requests=1) for n in range(50)]
for turn in range(100_000):
    asyncio.run(book.add(rows, batch=str(turn)))
    print(turn, flush=True)
"""


def test_a_writer_that_is_killed_leaves_whole_batches(tmp_path: Path) -> None:
    path = tmp_path / "usage.sqlite"
    command = [sys.executable, "-c", _WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        written = 0
        for line in process.stdout:
            written = int(line) + 1
            if written == 20:
                break
        process.kill()
    rows = asyncio.run(SQLiteBook(path).read())

    assert len(rows) == 50
    assert len({row.requests for row in rows}) == 1
    assert rows[0].requests >= written
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    book = SQLiteBook(tmp_path / "usage.sqlite")
    asyncio.run(book.add([Row("2027-01-01", "a", "m", 1)], batch="x"))
    modes = {stat.S_IMODE(one.stat().st_mode) for one in tmp_path.iterdir()}
    asyncio.run(book.close())

    assert modes == {0o600}


def test_a_file_that_is_moved_away_is_followed_by_another(tmp_path: Path) -> None:
    """As one that is archived at the end of a month."""
    path, old = tmp_path / "usage.sqlite", tmp_path / "old.sqlite"
    book = SQLiteBook(path)
    row = Row("2027-01-01", "a", "m", requests=1)
    asyncio.run(book.add([row], batch="one"))
    for beside in ("", "-wal", "-shm"):
        Path(f"{path}{beside}").rename(f"{old}{beside}")
    asyncio.run(book.add([row], batch="two"))
    asyncio.run(book.close())

    assert asyncio.run(book.read()) == [row]
    assert asyncio.run(SQLiteBook(old).read()) == [row]


async def test_what_went_wrong_once_may_go_well_again(tmp_path: Path) -> None:
    path = tmp_path / "usage.sqlite"
    book = SQLiteBook(path)
    path.write_bytes(b"no database at all, but as long as one would be" * 100)
    row = Row("2027-01-01", "a", "m", requests=1)
    with pytest.raises(BookUnavailable, match="not a database"):
        await book.add([row], batch="one")
    path.write_bytes(b"")
    await book.add([row], batch="one")
    assert await book.read() == [row]
    await book.close()


class Flaky:
    """A book that cannot be written while it is `shut`."""

    def __init__(self, path: Path) -> None:
        self.inner = SQLiteBook(path)
        self.shut = True

    async def prepare(self) -> None:
        """Nothing is needed."""

    async def add(self, rows: Any, *, batch: str) -> None:
        if self.shut:
            raise BookUnavailable("shut")
        await self.inner.add(rows, batch=batch)

    async def read(self, *, since: date | None = None, until: date | None = None) -> list[Row]:
        return await self.inner.read(since=since, until=until)

    async def close(self) -> None:
        await self.inner.close()


async def test_what_cannot_be_written_is_kept_until_it_can(tmp_path: Path) -> None:
    book = Flaky(tmp_path / "usage.sqlite")
    tally = Tally(book, Metrics(), clock=lambda: 20_000.0 * DAY)
    tally.add("a", "m", texts=2)
    with pytest.raises(BookUnavailable):
        await tally.write()
    tally.add("a", "m", texts=3)
    book.shut = False
    await tally.close()

    assert await book.read() == [Row("2024-10-04", "a", "m", requests=2, texts=5)]


async def test_a_request_counts_for_the_day_it_ends_on(tmp_path: Path) -> None:
    moment = 20_000.0 * DAY - 1
    tally = Tally(SQLiteBook(tmp_path / "u.sqlite"), Metrics(), clock=lambda: moment)
    tally.add("a", "m")
    moment += 2
    tally.add("a", "m")
    await tally.write()

    assert [row.day for row in await tally.book.read()] == ["2024-10-03", "2024-10-04"]
    await tally.close()


async def test_what_waits_is_bounded(tmp_path: Path) -> None:
    metrics = Metrics()
    tally = Tally(SQLiteBook(tmp_path / "u.sqlite"), metrics)
    for number in range(10_050):
        tally.add(f"key{number}", "m")

    assert metrics.registry.get_sample_value("embedway_usage_dropped_total") == 50


async def test_before_anything_was_used_there_is_nothing_to_read(tmp_path: Path) -> None:
    tally = Tally(SQLiteBook(tmp_path / "u.sqlite"), Metrics())
    await tally.write()

    assert await tally.book.read() == []
    await tally.close()


async def test_days_that_redis_forgot_are_left_out(redis_server: RedisServer) -> None:
    book = redis_book(redis_server)
    await book.add([Row("2027-01-01", "a", "m", 1), Row("2027-01-02", "a", "m", 1)], batch="x")
    with redis_server.open() as client:
        client.delete("embedway:1:usage:2027-01-01")

    assert [row.day for row in await book.read()] == ["2027-01-02"]
    await book.close()


async def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    book = SQLiteBook(tmp_path / "nowhere" / "usage.sqlite")

    with pytest.raises(BookUnavailable, match="nowhere"):
        await book.add([Row("2027-01-01", "a", "m", 1)], batch="x")


class Slow(Flaky):
    """A book whose writing can be waited for, and takes until `go`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.shut = False
        self.begun, self.go = asyncio.Event(), asyncio.Event()

    async def add(self, rows: Any, *, batch: str) -> None:
        # In a thread, which goes on when whoever waits for it is cancelled.
        writing = asyncio.create_task(super().add(rows, batch=batch))
        self.begun.set()
        await self.go.wait()
        await asyncio.shield(writing)


async def test_whoever_is_cancelled_while_usage_is_written_doubles_nothing(tmp_path: Path) -> None:
    book = Slow(tmp_path / "usage.sqlite")
    tally = Tally(book, Metrics(), clock=lambda: 20_000.0 * DAY)
    tally.add("a", "m", texts=2)
    asked = asyncio.create_task(tally.write())
    await book.begun.wait()
    asked.cancel()
    await asyncio.wait([asked])
    book.go.set()
    await tally.close()

    assert await book.read() == [Row("2024-10-04", "a", "m", requests=1, texts=2)]
