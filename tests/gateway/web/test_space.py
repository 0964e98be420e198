"""A model's name means one vector space; when that changes, the answers tell."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator
from typing import Any, Self

import httpx
import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from doubles.openai_upstream import OpenAIUpstream
from doubles.serving import free_port, served
from embedway_gateway.config.schema import Config
from embedway_gateway.metric import Metrics
from embedway_gateway.web.app import create_app
from embedway_upstream import EmbeddingError
from embedway_upstream.testing import fake_vectors

SPACE = "x-embedway-vector-space"
Replicas = list[tuple[OpenAIUpstream, str]]


def config_of(*urls: str, **model: Any) -> Config:
    upstreams = [
        {"name": f"up{n}", "engine": "openai", "url": url, "timeout": "2s"}
        for n, url in enumerate(urls)
    ]
    one = {"name": "m", "dimensions": 8, "upstreams": upstreams, **model}
    return Config.model_validate({"models": [one]})


@pytest.fixture(scope="module")
def replica_servers() -> Iterator[Replicas]:
    one, two = OpenAIUpstream(), OpenAIUpstream()
    with served(one) as first, served(two) as second:
        yield [(one, first), (two, second)]


@pytest.fixture
def replicas(replica_servers: Replicas) -> Replicas:
    for app, _ in replica_servers:
        app.reset()
    return replica_servers


class Caller:
    """A gateway in this process, whose upstreams were compared as when it starts."""

    def __init__(self, config: Config) -> None:
        self.registry = CollectorRegistry()
        self.app = create_app(config, metrics=Metrics(self.registry))
        transport = httpx.ASGITransport(self.app)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://gateway")
        self.reasons: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        for state in self.app.models["m"].upstreams:
            assert state.space is not None
            try:
                await state.space.prove()
            except EmbeddingError as error:
                self.reasons[state.name] = error.message
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()
        await self.app.close()

    async def ask(self, text: str) -> httpx.Response:
        return await self.http.post("/v1/embeddings", json={"model": "m", "input": text})

    def count(self, upstream: str, outcome: str) -> float:
        labels = {"model": "m", "upstream": upstream, "outcome": outcome}
        return self.registry.get_sample_value("embedway_upstream_attempts_total", labels) or 0

    async def space(self) -> str:
        facts: str = (await self.http.get("/v1/models/m")).json()["vector_space"]
        return facts


def salt_of(answer: httpx.Response, text: str) -> str:
    vector = answer.json()["data"][0]["embedding"]
    for salt in ("", "new "):
        if np.allclose(vector, fake_vectors([salt + text], 8)[0], atol=1e-6):
            return salt
    raise AssertionError


async def test_in_the_middle_of_traffic_each_answer_is_of_the_space_that_it_tells(
    replicas: Replicas,
) -> None:
    """The one that defines the space goes away, and comes back as another model."""
    (first, one), (_, two) = replicas
    numbers = itertools.count()
    seen: list[tuple[str, str]] = []

    async def ask(caller: Caller) -> None:
        while sum(salt == "new " for _, salt in seen) < 30:
            text = f"text {next(numbers)}"
            answer = await caller.ask(text)
            if answer.status_code == 200:
                seen.append((answer.headers[SPACE], salt_of(answer, text)))
            if len(seen) >= 60 and not first.salt:
                # Whatever is under way fails, until that was noticed.
                first.salt = "new "
                first.faults.extend([503] * 30)
            if first.faults and caller.count("up0", "upstream_failed"):
                first.faults.clear()

    async with Caller(config_of(one, two)) as caller, asyncio.timeout(30):
        await asyncio.gather(*(ask(caller) for _ in range(8)))
        now = await caller.space()

    spaces = dict(seen)
    assert len(spaces) == 2
    assert len(set(seen)) == 2, "all of one fingerprint are of one space"
    assert spaces[now] == "new "
    begun = next(place for place, (space, _) in enumerate(seen) if space == now)
    assert {"new "} == {salt for _, salt in seen[begun:]}, "none of the old once the new was told"


class Late(OpenAIUpstream):
    """Makes its vectors at once, and sends them when it is let."""

    asked, gate = threading.Event(), threading.Event()

    async def _answer(self, fault: Any, request: dict[str, Any], send: Any) -> None:
        kept: list[Any] = []

        async def keep(message: Any) -> None:
            kept.append(message)

        await super()._answer(fault, request, keep)
        if request["input"] == ["late"]:
            self.asked.set()
            await asyncio.to_thread(self.gate.wait, 10)
        for message in kept:
            await send(message)


async def test_an_answer_that_the_change_overtook_is_made_again() -> None:
    upstream = Late()
    with served(upstream) as url:
        async with Caller(config_of(url)) as caller:
            space = caller.app.models["m"].upstreams[0].space
            assert space is not None
            before = await caller.space()
            late = asyncio.create_task(caller.ask("late"))
            await asyncio.to_thread(upstream.asked.wait, 10)
            upstream.salt = "new "
            upstream.faults.append(503)
            await caller.ask("another")
            await space.prove()
            assert before != await caller.space()
            upstream.gate.set()
            answer = await late

    assert salt_of(answer, "late") == "new "
    assert answer.headers[SPACE] != before


async def test_a_quarantine_is_seen_though_the_model_is_ready(replicas: Replicas) -> None:
    (_, one), (second, two) = replicas
    second.salt = "new "
    async with Caller(config_of(one, two)) as caller:
        answers = [await caller.ask(f"text {n}") for n in range(5)]
        ready = await caller.http.get("/readyz")
        shown = (await caller.http.get("/metrics")).text

    assert {"up0"} == {answer.headers["x-embedway-upstream"] for answer in answers}
    assert 200 == ready.status_code
    assert ["up1"] == list(ready.json()["quarantined"]["m"])
    assert "differ from those of 'up0'" in ready.json()["quarantined"]["m"]["up1"]
    assert 'embedway_upstream_quarantined{model="m",upstream="up1"} 1.0' in shown
    assert 'embedway_upstream_quarantined{model="m",upstream="up0"} 0.0' in shown


async def test_the_stated_reference_decides_who_is_foreign(replicas: Replicas) -> None:
    (_, one), (second, two) = replicas
    second.salt = "new "
    async with Caller(config_of(one, two, reference="up1")) as caller:
        # It is asked after the first, which waits for it.
        assert "differ from those of 'up1'" in caller.reasons["up0"]
        answer = await caller.ask("a")

    assert "up1" == answer.headers["x-embedway-upstream"]


async def test_another_stands_in_as_reference_and_the_fingerprint_tells(
    replicas: Replicas,
) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    url = replicas[1][1]
    async with Caller(config_of(replicas[0][1], url)) as caller:
        usual = await caller.space()
    async with Caller(config_of(dead, url)) as caller:
        answers = [await caller.ask(f"text {n}") for n in range(5)]
        assert await caller.space() != usual
    replicas[1][0].seen.clear()
    async with Caller(config_of(dead, url, reference="up0")) as caller:
        refused = await caller.ask("a")

    assert {200} == {answer.status_code for answer in answers}
    # It cannot be reached, or it has been left alone for that since the canaries.
    assert refused.status_code in {502, 503}
    assert not any("a" in one.body["input"] for one in replicas[1][0].seen)


async def test_with_a_looser_agreement_more_upstreams_serve(replicas: Replicas) -> None:
    (_, one), (second, two) = replicas
    second.length = 1.1  # the same direction: a cosine of 1
    async with Caller(config_of(one, two)) as caller:
        assert "the directions agree, but not the lengths" in caller.reasons["up1"]
    async with Caller(config_of(one, two, agreement=0.97)) as caller:
        assert {} == caller.reasons
    second.salt = "new "
    async with Caller(config_of(one, two, agreement=0.0001)) as caller:
        assert caller.reasons, "its cosine is below 0"


@pytest.mark.parametrize(
    "change", [{"revision": "b"}, {"reference": "up0"}, {"max_tokens": 12}, {"name": "other"}]
)
def test_what_is_declared_is_in_the_fingerprint(change: dict[str, Any]) -> None:
    def space(**model: Any) -> str | None:
        app = create_app(config_of("https://up", "https://up2", **model))
        return next(iter(app.models.values())).vector_space

    assert space(revision="a") == space(revision="a")
    assert space(revision="a") != space(**{"revision": "a", **change})


def test_a_reference_that_is_no_upstream_is_a_mistake() -> None:
    with pytest.raises(ValidationError, match=r"reference: 'up9' is no upstream of the model"):
        config_of("https://up", reference="up9")
