"""Upstreams that rest are asked whether they are ready, in their engine's own way."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from doubles.time import Time
from embedway_gateway.assemble import assemble
from embedway_gateway.config.schema import Config
from embedway_gateway.health import Health
from embedway_gateway.metric import Metrics
from embedway_gateway.model import Models, UpstreamState
from embedway_upstream import HTTPCall, HTTPReply, UpstreamUnreachable
from embedway_upstream.flow import HTTPFlow


@dataclass
class Carries:
    """Answers every call with `status`, or not at all."""

    status: int = 200
    calls: list[HTTPCall] = field(default_factory=list)

    async def send(self, call: HTTPCall) -> HTTPReply:
        self.calls.append(call)
        if self.status == 0:
            raise UpstreamUnreachable("x")
        return HTTPReply(self.status, {}, b"")

    async def open(self, call: HTTPCall) -> HTTPFlow:
        raise NotImplementedError


def built(*upstreams: dict[str, Any], carries: Carries) -> tuple[Models, list[UpstreamState]]:
    given = [{"name": f"up{n}", **one} for n, one in enumerate(upstreams)]
    config = Config.model_validate(
        {
            "models": [{"name": "m", "dimensions": 8, "upstreams": given}],
            "routing": {"breaker_rest": "60s"},
            "credentials": {"key": {"type": "bearer", "token": "x"}},
        }
    )
    models, _ = assemble(config, carries, Metrics(CollectorRegistry()))
    return models, list(models["m"].upstreams)


def plain(engine: str) -> dict[str, Any]:
    return {"engine": engine, "url": "http://127.0.0.1:9/base"}


@pytest.mark.parametrize(
    ("engine", "path"),
    [("tei", "/health"), ("infinity", "/health"), ("vllm", "/health"), ("ovms", "/models/m/ready")],
)
async def test_each_engine_has_its_own_question_and_a_yes_lets_the_probe_go(
    engine: str, path: str
) -> None:
    time, carries = Time(), Carries()
    models, (state,) = built(plain(engine), carries=carries)
    state.target.breaker.failed(time(), time(), at_once=True)
    assert "breaker is open" in state.problem(time())
    await Health(models, carries, every=lambda: 5.0, clock=time).look()

    assert ["GET"] == [call.method for call in carries.calls]
    assert carries.calls[0].url.endswith(path)
    assert ("half-open", "") == (state.target.breaker.state(time()), state.problem(time()))


async def test_a_server_whose_api_is_below_v1_is_asked_at_its_root() -> None:
    """Below, no server answers `/health`; behind AI Core there is no way to the root."""
    time, carries = Time(), Carries()
    below = {"engine": "infinity", "url": "http://127.0.0.1:9/v1"}
    behind = {**below, "platform": "aicore", "credentials": "key"}
    models, states = built(below, behind, carries=carries)
    for state in states:
        state.target.breaker.failed(time(), time(), at_once=True)
    await Health(models, carries, every=lambda: 5.0, clock=time).look()

    assert ["http://127.0.0.1:9/health"] == [call.url for call in carries.calls]
    assert ["half-open", "open"] == [state.target.breaker.state(time()) for state in states]


@pytest.mark.parametrize("status", [0, 401, 500, 503])
async def test_any_other_answer_leaves_it_as_it_is(status: int) -> None:
    time, carries = Time(), Carries(status)
    models, (state,) = built(plain("tei"), carries=carries)
    state.target.breaker.failed(time(), time(), at_once=True)
    await Health(models, carries, every=lambda: 5.0, clock=time).look()

    assert 1 == len(carries.calls)
    assert "open" == state.target.breaker.state(time())


async def test_who_serves_is_not_asked_nor_who_has_no_such_question() -> None:
    time, carries = Time(), Carries()
    models, states = built(plain("tei"), plain("openai"), plain("onnx"), carries=carries)
    for state in states[1:]:
        state.target.breaker.failed(time(), time(), at_once=True)
    await Health(models, carries, every=lambda: 5.0, clock=time).look()

    assert [] == carries.calls
    assert "open" == states[1].target.breaker.state(time())


async def test_it_looks_at_its_interval_which_may_change() -> None:
    time, carries, every = Time(), Carries(503), [5.0, 2.0]
    models, (state,) = built(plain("tei"), carries=carries)
    state.target.breaker.failed(time(), time(), at_once=True)

    async def sleep(seconds: float) -> None:
        if len(time.slept) == 2:
            raise asyncio.CancelledError
        await time.sleep(seconds)

    health = Health(
        models, carries, every=lambda: every[min(1, len(time.slept))], clock=time, sleep=sleep
    )
    with contextlib.suppress(asyncio.CancelledError):
        await health.run()

    assert ([5.0, 2.0], 2) == (time.slept, len(carries.calls))
