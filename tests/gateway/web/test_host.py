"""Under which names the gateway answers, so that no page of the web can read it after rebinding."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from pydantic import ValidationError

from doubles.keyed import Keys
from doubles.openai_upstream import OpenAIUpstream
from doubles.raw import Wire
from doubles.serving import serving
from embedway_gateway.config.schema import Config, ServerConfig
from embedway_gateway.config.watch import News
from embedway_gateway.web.app import Gateway, create_app

REBOUND = b"rebound.example:8080"
BODY = b'{"model":"short","input":"a"}'


@asynccontextmanager
async def gateway(config: Config) -> AsyncIterator[tuple[Gateway, Wire]]:
    app = create_app(config)
    async with serving(app) as url:
        yield app, Wire(url)


def named(config: Config, *names: str) -> Config:
    server = config.server.model_dump() | {"allowed_hosts": names}
    return config.model_copy(update={"server": ServerConfig.model_validate(server)})


async def ask(
    wire: Wire, host: bytes | None, target: bytes = b"/v1/models", method: bytes = b"GET"
) -> tuple[int, Any]:
    lines = [b"%s %s HTTP/1.1" % (method, target)]
    lines += [] if host is None else [b"host: " + host]
    if method == b"POST":
        lines += [b"content-type: application/json", b"content-length: %d" % len(BODY)]
    head = b"\r\n".join(lines) + b"\r\n\r\n"
    [(status, _, body)] = await wire.say(head + (BODY if method == b"POST" else b""))
    return status, json.loads(body) if body.startswith(b"{") else body


def targets(app: Gateway) -> set[tuple[bytes, bytes]]:
    """Every method and path that there is."""
    hot: Any = app._app
    found = {("POST", path) for path in hot._routes}
    for route in iter_route_contexts(hot._app.routes):
        assert route.path is not None
        found |= {(method, route.path) for method in route.methods or ()}
    return {(method.encode(), path.encode()) for method, path in found if method != "HEAD"}


async def test_a_rebound_name_reads_nothing_of_any_route(
    config: Config, upstream: OpenAIUpstream
) -> None:
    async with gateway(config) as (app, wire):
        asked = targets(app) | {(b"GET", b"/nothing")}
        probes = {(b"GET", b"/healthz"), (b"GET", b"/readyz")}
        statuses = {
            (method, path): (await ask(wire, REBOUND, path, method))[0] for method, path in asked
        }

        assert len(asked) > 14
        assert {421} == {statuses[one] for one in asked - probes}
        assert 421 not in {statuses[one] for one in probes}
        assert all(seen.body["input"] != ["a"] for seen in upstream.seen)


@pytest.mark.parametrize(
    "host",
    [
        *(b"localhost", b"LOCALHOST:8080", b"app.localhost", b"localhost."),
        *(b"127.0.0.1", b"127.0.0.1:8080", b"10.1.2.3", b"[::1]", b"[::1]:8080"),
        *(b"gateway", b"my_machine:80", b"", b"embed.example.com", b"Embed.Example.Com:443"),
        b"embed.example.com.",
    ],
)
async def test_what_no_public_site_has_is_answered_to(config: Config, host: bytes) -> None:
    async with gateway(named(config, "Embed.example.com")) as (_, wire):
        assert [200, 200] == [(await ask(wire, host))[0] for _ in range(2)]


@pytest.mark.parametrize(
    "host",
    [
        *(b"rebound.example", b"localhost.example", b"127.0.0.1.example", b"ai."),
        *(b"127.0.0.1@rebound.example", b"127.0.0.1:80@rebound.example", b"[rebound.example]"),
        *(b"[::1]rebound.example", b"a.embed.example.com", b"embed.example.com:x", b"a:b"),
    ],
)
async def test_other_names_are_not(config: Config, host: bytes) -> None:
    async with gateway(named(config, "embed.example.com")) as (_, wire):
        assert [421, 421] == [(await ask(wire, host))[0] for _ in range(2)]


async def test_who_states_no_name_is_no_browser(config: Config) -> None:
    async with gateway(config) as (_, wire):
        [(status, _, _)] = await wire.say(b"GET /v1/models HTTP/1.0\r\n\r\n")

        assert status == 200


async def test_the_answer_names_the_cure_in_the_form_of_the_route(config: Config) -> None:
    async with gateway(config) as (_, wire):
        _, openais = await ask(wire, REBOUND)
        _, teis = await ask(wire, REBOUND, b"/embed", b"POST")

        assert openais["error"]["code"] == "unknown_host"
        assert openais["error"]["type"] == "invalid_request_error"
        assert "allowed_hosts: [NAME]" in openais["error"]["message"]
        assert "'rebound.example:8080'" in openais["error"]["message"]
        assert teis["error"] == openais["error"]["message"]
        assert teis["error_type"] == "Validation"


async def test_with_keys_any_name_is_answered_to_until_names_are_stated(
    config: Config, tmp_path: Path
) -> None:
    keys = Keys(tmp_path)
    keys.make("app")
    async with gateway(keys.guard(config)) as (_, wire):
        assert (await ask(wire, REBOUND))[0] == 401
    async with gateway(keys.guard(config, allowed_hosts=["embed.example.com"])) as (_, wire):
        hosts = (REBOUND, b"gateway", b"embed.example.com", b"127.0.0.1:1", b"localhost")

        assert [421, 421, 401, 401, 401] == [(await ask(wire, host))[0] for host in hosts]


async def test_a_new_list_is_taken_over_while_requests_are_served(config: Config) -> None:
    async with gateway(config) as (app, wire):
        before = (await ask(wire, REBOUND))[0]
        await app.take(News(named(config, "rebound.example")))
        after = (await ask(wire, REBOUND))[0]
        await app.take(News(config))

        assert (before, after, (await ask(wire, REBOUND))[0]) == (421, 200, 421)


async def test_made_up_names_are_not_remembered_without_end(config: Config) -> None:
    async with gateway(config) as (app, wire):
        for number in range(600):
            await ask(wire, b"%d.example" % number, b"/healthz")
        hosts: Any = app._app

        assert len(hosts._hosts._judged) <= 256
        assert [(await ask(wire, host))[0] for host in (b"599.example", b"gateway")] == [421, 200]


@pytest.mark.parametrize(
    "name",
    [
        *("https://embed.example.com", "embed.example.com:443", "*.example.com", "a b", ""),
        *("embed.example.com/v1", "-a.example", "a..example", "ä.example", "x" * 64, "a." * 130),
    ],
)
def test_what_is_no_name_is_refused_with_its_place_and_cure(name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ServerConfig(allowed_hosts=("good.example", name))

    [error] = caught.value.errors()
    assert error["loc"] == ("allowed_hosts", 1)
    assert "is written alone, such as embed.example.com" in error["msg"]
