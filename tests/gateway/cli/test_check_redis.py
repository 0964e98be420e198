"""What `embedway check` says of the Redis servers that a configuration names."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from redis import Redis
from typer.testing import CliRunner

from doubles.configured import Configured
from doubles.engine_tei import TEI
from doubles.redis_server import PASSWORD, RedisServer, running_redis
from doubles.serving import free_port
from embedway_gateway.cli.app import application

Row = dict[str, Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Configured]:
    world = Configured(tmp_path)
    with world.open:
        yield world


def rows(world: Configured, **sections: Any) -> tuple[list[Row], int]:
    """Of Redis servers, and the exit code; nothing of a password is printed."""
    path = world.folder / "embedway.yaml"
    path.write_text(yaml.safe_dump(world.plain(TEI(auto_truncate=True)) | sections))
    command = ["check", "--config", str(path), "--json", "--timeout", "0.7"]
    result = CliRunner().invoke(application(), command)
    assert PASSWORD not in result.output
    assert "redis://:" not in result.output.replace("redis://:password@host", "")
    return json.loads(result.stdout)[1:], result.exit_code


def redis(url: str, **more: Any) -> Row:
    return {"type": "redis", "url": url, "timeout": "5s", **more}


def test_a_server_has_one_row_whatever_is_kept_there(
    world: Configured, server: RedisServer
) -> None:
    url = redis(server.url)
    found, code = rows(world, cache=url, limits=url, usage=redis(server.url.replace("/0", "/1")))

    assert [one["upstream"] for one in found] == ["cache, limits", "usage"]
    assert {"redis"} == {one["engine"] for one in found}
    assert [(one["reachable"], one["problem"], one["notes"]) for one in found] == [
        (True, "", [])
    ] * 2
    assert code == 0


def test_nothing_is_looked_at_that_is_not_named(world: Configured) -> None:
    assert rows(world) == ([], 0)


def test_a_timeout_that_is_too_short_is_a_note(world: Configured, server: RedisServer) -> None:
    [one], code = rows(world, cache=redis(server.url, timeout=1e-6))

    assert "`timeout:` of cache is 0.001 ms: raise it" in one["notes"][0]
    assert (one["problem"], code) == ("", 0)


@pytest.mark.parametrize(
    ("address", "reachable", "words"),
    [
        (lambda one: f"redis://127.0.0.1:{one.port}", True, "it asks for a password"),
        (lambda one: one.url.replace(":planted", ":other"), True, "refuses the user or the pass"),
        (lambda one: one.url.replace("/0", "/99"), True, "it has no database of that number"),
        (lambda one: one.url.replace("redis:", "rediss:"), False, "and speaks TLS"),
        (lambda _: f"redis://:{PASSWORD}@127.0.0.1:{free_port()}", False, "nothing listens there"),
        (lambda _: f"redis://:{PASSWORD}@nowhere.invalid", False, "has no address"),
    ],
)
def test_a_wrong_address_is_told_with_its_cure(
    world: Configured,
    server: RedisServer,
    address: Callable[[RedisServer], str],
    reachable: bool,
    words: str,
) -> None:
    [one], code = rows(world, cache=redis(address(server)))

    assert words in one["problem"]
    assert one["reachable"] is reachable
    assert code == 1


def replica(client: Redis) -> None:
    client.execute_command("REPLICAOF", "127.0.0.1", "1")


def full(client: Redis) -> None:
    client.config_set("maxmemory", "1")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [(replica, "it is a replica and takes no writes"), (full, "its memory is full")],
)
def test_a_server_that_takes_no_writes_is_a_problem(
    world: Configured, server: RedisServer, spoil: Callable[[Redis], None], words: str
) -> None:
    with server.open() as client:
        spoil(client)
        try:
            [one], code = rows(world, limits=redis(server.url))
        finally:
            client.config_set("maxmemory", "0")
            client.execute_command("REPLICAOF", "NO", "ONE")

    assert words in one["problem"]
    assert (one["reachable"], code) == (True, 1)


def test_a_user_without_the_right_to_our_keys(world: Configured, server: RedisServer) -> None:
    with server.open() as client:
        client.execute_command("ACL", "SETUSER", "u", "on", f">{PASSWORD}", "~other:*", "+@all")

    [one], _ = rows(world, cache=redis(f"redis://u:{PASSWORD}@127.0.0.1:{server.port}"))

    assert "its user may not write keys of embedway" in one["problem"]


def test_one_that_hangs_is_not_waited_for(world: Configured, server: RedisServer) -> None:
    server.hang()
    try:
        [one], code = rows(world, cache=redis(server.url))
    finally:
        server.wake()

    assert "it did not answer within 0.7 seconds" in one["problem"]
    assert (one["reachable"], code) == (False, 1)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "what answers there is no Redis"),
        (b"", "it closes the connection"),
        (b"-LOADING Redis is loading the dataset in memory\r\n", "it is still loading its data"),
        (b"-MOVED 1 127.0.0.1:7001\r\n", "it is one server of a Redis cluster"),
        (b"-ODD planted\r\n", "it refuses what the gateway does (ResponseError)"),
    ],
)
def test_what_else_may_answer_there(world: Configured, said: bytes, words: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer_once, args=(listener, said), daemon=True).start()
        [one], code = rows(world, cache=redis(f"redis://127.0.0.1:{listener.getsockname()[1]}"))

    assert words in one["problem"]
    assert "planted" not in one["problem"]
    assert code == 1


def answer_once(listener: socket.socket, said: bytes) -> None:
    one, _ = listener.accept()
    # A client that has read enough hangs up on the answers to its other commands.
    with one, suppress(ConnectionError):
        # To each command: clients of some versions send several at once.
        while said and (commands := one.recv(4096)):
            one.sendall(said * (commands.count(b"\r\n*") + 1))


def test_without_the_package_the_line_that_helps(
    world: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "embedway_gateway.survey.redis", None)

    [one], code = rows(world, limits=redis("redis://x"), usage=redis("redis://y"))

    assert one["upstream"] == "limits, usage"
    assert one["problem"] == 'redis is not installed: pip install "embedway[redis]"'
    assert code == 1
