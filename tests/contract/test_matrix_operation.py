"""The matrix, operation: readiness, model lists, limits that are told, keys, and vector spaces."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import openai
import pytest

from doubles.engine_columns import COLUMNS, row
from doubles.engine_gateway import MODEL, Town, calling
from doubles.engine_server import Answer, Asked, EngineServer, dump
from embedway_gateway.config.schema import Config
from embedway_upstream.engines.registry import ENGINES, Options
from embedway_upstream.error import WrongSpace

EVERY = pytest.mark.parametrize("column", COLUMNS)
TEXTS = ["first text", "a second text", "third"]


def get(server: EngineServer, path: str) -> Answer:
    """Without a key."""
    return server.answer(Asked("GET", path, {}, b""))


def dialect(column: str, model: str = "model") -> Any:
    return ENGINES[COLUMNS[column].engine](Options(model=model))


READY = {
    "tei": "/health",
    "ovms": "/v2/models/model/ready",
    "infinity": "/health",
    "vllm": "/health",
    "score": None,
    "openai": None,
}


@row(READY)
def test_readiness(column: str, expected: str | None) -> None:
    server = COLUMNS[column].server()
    ready = dialect(column).ready

    assert expected == ready
    if ready is not None:
        assert 200 == get(server, ready).status


@row({"ovms": "/v2/health/ready"}, ["ovms-2026.3", "ovms-2024.5"])
def test_readiness_of_a_model_that_is_loading(column: str, expected: str) -> None:
    """The server's own is true of one without any model."""
    server = COLUMNS[column].server(loading=True)

    assert 200 == get(server, expected).status
    assert 404 == get(server, dialect(column).ready).status
    assert 400 == get(server, "/health").status


@row({"*": 200, "tei-1.5": 401}, [name for name in COLUMNS if READY[name.partition("-")[0]]])
def test_readiness_without_a_key(column: str, expected: int) -> None:
    """TEI up to 1.5.0 guards every route."""
    server = COLUMNS[column].server(key="k")

    assert expected == get(server, dialect(column).ready).status


TOLD: dict[str, tuple[tuple[str, ...], int | None, tuple[str, ...]]] = {
    # the names it serves, the tokens it takes, what it can do
    "tei-1.9": (("model",), 512, ("embed",)),
    "tei": (("/data/model",), 512, ("embed",)),
    "ovms": (("model",), None, ()),
    "infinity-multi": (("model", "another"), None, ("embed",)),
    "infinity": (("model",), None, ("embed",)),
    "vllm": (("model",), 512, ()),
    "score": ((), None, ()),
    "openai": (("model",), None, ()),
}


@row(TOLD)
def test_model_list_and_max_tokens(column: str, expected: tuple[Any, ...]) -> None:
    """Read where each engine tells it; what a version lacks is passed over."""
    server = COLUMNS[column].server()
    answers = [(probe, get(server, probe.path)) for probe in dialect(column).probes]
    facts = [probe.read(written(answer)) for probe, answer in answers if answer.status == 200]

    models, tokens, able = expected
    assert models == next((one.models for one in facts if one.models), ())
    found = [one.limits.max_tokens for one in facts if one.limits.max_tokens is not None]
    assert tokens == next(iter(found), None)
    assert able == next((one.capabilities for one in facts if one.capabilities), ())


def written(answer: Answer) -> bytes:
    return answer.body if isinstance(answer.body, bytes) else dump(answer.body)


@EVERY
async def test_model_list_of_the_gateway(town: Town, column: str) -> None:
    """The configured names, to anyone, and without a question to the engine."""
    async with town.gateway(
        column, COLUMNS[column].server(), aliases=["short"], max_tokens=256
    ) as caller:
        [model] = (await caller.openai.models.list()).data
        bare = await caller.http.get("/v1/models")

    facts = model.model_dump()
    assert (MODEL, 8, 256) == (model.id, facts["dimensions"], facts["max_tokens"])
    assert ["embed"] == facts["capabilities"]
    assert 200 == bare.status_code
    assert [] == caller.server.seen


@EVERY
async def test_readiness_of_the_gateway(town: Town, column: str) -> None:
    """Of what calls met, and not of a route that is shared by no two engines."""
    server = COLUMNS[column].server(spoil="nan")
    async with town.gateway(column, server) as caller:
        before = await caller.http.get("/readyz")
        assert 502 == (await caller.post(input="a")).status_code
        failed = await caller.http.get("/readyz")
        server.spoil = ""
        assert 200 == (await caller.post(input="a")).status_code

    assert (200, 503) == (before.status_code, failed.status_code)
    assert [MODEL] == list(failed.json()["problems"])
    assert {"POST"} == {seen.method for seen in server.seen}


@pytest.mark.parametrize("column", [n for n in COLUMNS if n not in {"score-cls", "score-mean"}])
@pytest.mark.parametrize("apart", [False, True])
async def test_pooling_risk(town: Town, column: str, apart: bool) -> None:
    """
    Pooled in another way an engine gives other vectors, with 200. Beside the upstream that
    defines the model's space it serves only when it gives the same.
    """
    first = COLUMNS["tei-1.9"].server()
    more = {"max_tokens": 512} if column == "openai" else {}
    second = COLUMNS[column].server(model="pooled otherwise" if apart else "model", **more)
    items = [
        town.upstream("tei-1.9", first, name="first"),
        town.upstream(column, second, name="second", priority=1),
    ]
    model = {"name": MODEL, "dimensions": 8, "upstreams": items}
    config = Config.model_validate({"credentials": town.logins(), "models": [model]})
    async with calling(config) as caller:
        space = caller.app.models[MODEL].upstreams[1].space
        assert space is not None
        with contextlib.suppress(WrongSpace):
            await space.prove()  # as the server does when it starts
        first.permits = 0
        if apart:
            with pytest.raises(openai.APIStatusError) as refused:
                await caller.embed(TEXTS)
            assert refused.value.status_code in {429, 503}
        else:
            np.testing.assert_array_equal(await caller.embed(TEXTS), first.vectors(TEXTS))
