"""`cache` in the file: what it means, how mistakes are told, and that no password is."""

from __future__ import annotations

from pathlib import Path

import pytest

from doubles.redis_server import PASSWORD
from embedway_gateway.cache.memory import Memory
from embedway_gateway.cache.redis import RedisStore
from embedway_gateway.config.cache import make_store
from embedway_gateway.config.load import ConfigError, load_config
from embedway_gateway.config.schema import Config
from embedway_gateway.metric import Metrics

MODELS = """
models:
  - name: m
    dimensions: 8
    upstreams: [{name: up, engine: tei, url: "http://127.0.0.1:1"}]
cache: """


def read(folder: Path, cache: str, url: str = "") -> Config:
    path = folder / "embedway.yaml"
    path.write_text(MODELS + cache, "utf-8")
    return load_config(path, {"REDIS_URL": url})


async def test_it_becomes_a_store(tmp_path: Path) -> None:
    memory = read(tmp_path, "{type: memory, max_bytes: 1MiB}").cache
    shared = read(tmp_path, "{type: redis, url: '${REDIS_URL}', ttl: 1h}", "redis://h").cache
    assert memory is not None
    assert shared is not None
    store = make_store(shared, Metrics())

    assert isinstance(make_store(memory, Metrics()), Memory)
    assert isinstance(store, RedisStore)
    assert 3_600_000 == store._ttl
    await store.close()


def test_without_it_there_is_none(tmp_path: Path) -> None:
    assert read(tmp_path, "null").cache is None


@pytest.mark.parametrize(
    ("cache", "problem"),
    [
        ("{type: memory, max_byte: 3}", "cache: unknown key 'max_byte'; did you mean 'max_bytes'?"),
        ("{type: memory, max_bytes: lots}", "cache.max_bytes: not understood; write it as 10MiB"),
        ("{type: disk}", "cache: Input tag 'disk' found"),
        ("{type: redis}", "cache.url: is missing"),
        ("{type: redis, url: 'redis://h', tttl: 1d}", "cache: unknown key 'tttl'; did you mean"),
        ("{type: redis, url: 'redis://h', connections: 0}", "cache.connections: "),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path: Path, cache: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, cache)

    (found,) = caught.value.problems
    assert found.startswith(problem)


@pytest.mark.parametrize(
    "url",
    [
        "http://:{}@host",
        "redis://:{}",
        "redis://:{}@[bad",
        "redis://:{}@ho\u2100st",
        "redis://:{}#@host",
        "redis://:{}@host:port",
        "redis://:{}@host:99999",
        "redis://:{}@host/name",
        "redis://:{}@host?ssl_cert_reqs=none",
    ],
)
def test_an_address_that_is_none_is_not_repeated(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, "{type: redis, url: '${REDIS_URL}'}", url.format(PASSWORD))

    (found,) = caught.value.problems
    assert found.startswith("cache: url must be redis://")
    assert PASSWORD not in str(caught.value)


def test_the_password_is_not_shown(tmp_path: Path) -> None:
    url = f"rediss://user:{PASSWORD}@host:6380/2"
    config = read(tmp_path, "{type: redis, url: '${REDIS_URL}'}", url)

    assert PASSWORD not in repr(config)
    assert PASSWORD not in config.model_dump_json()
