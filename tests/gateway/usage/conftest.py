"""A Redis server for the tests of usage, empty for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from doubles.redis_server import RedisServer, running_redis


@pytest.fixture(scope="session")
def redis_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_server(redis_process: RedisServer) -> RedisServer:
    with redis_process.open() as client:
        client.flushall()
    return redis_process
