"""AI Core: deployments by scenario and configuration, and one call from token to vectors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from doubles.aicore_api import AICoreAPI
from doubles.serving import served
from doubles.time import Time
from embedway_gateway.discovery import AICoreSource, group
from embedway_gateway.wire import WireTransport
from embedway_upstream import (
    BadReply,
    EmbeddingRequest,
    Endpoint,
    HTTPCall,
    OpenAI,
    UpstreamRefused,
)
from embedway_upstream.credentials.error import CredentialsError
from embedway_upstream.credentials.oauth2 import ClientCredentials, Login
from embedway_upstream.platforms.aicore import AICore
from embedway_upstream.testing import fake_vectors

NOMIC = "nomic-ai/nomic-embed-text-v1.5"


class Running:
    """The double, a source over it, and what the two share."""

    def __init__(self, api: AICoreAPI, url: str, options: dict[str, Any]) -> None:
        self.api, self.url, self.time = api, url, Time()
        secret = options.pop("secret", api.client_secret)
        login = Login(token_url=f"{url}/oauth/token", client_id="client", client_secret=secret)
        self.credentials = ClientCredentials(login, sleep=self.time.slept.append)
        self.transport = WireTransport()
        self.source = AICoreSource(
            **{
                "api_url": url,
                "resource_group": "default",
                "scenario_id": "scenario",
                "config_names": ["nomic-embed-text-*"],
                "credentials": self.credentials,
                "transport": self.transport,
                "sleep": self.time.sleep,
                **options,
            }
        )


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[Running]:
    api = AICoreAPI()
    with served(api) as url:
        one = Running(api, url, options)
        try:
            yield one
        finally:
            await one.transport.close()


async def test_replicas_of_one_model() -> None:
    async with running() as one:
        for number in range(1, 4):
            one.api.add(number, one.url, name=f"nomic-embed-text-v{number}", model=NOMIC)
        one.api.add(4, one.url, name="llama", model="llama")
        one.api.add(5, one.url, name="nomic-embed-text-x", model=NOMIC, item={"status": "STOPPED"})
        one.api.add(6, one.url, name="nomic-embed-text-y", model=NOMIC, item={"scenarioId": "z"})
        for _ in range(3):
            found = await one.source.list()

    (model,) = group(found, set())
    assert NOMIC == model.name
    assert ["d1", "d2", "d3"] == [replica.deployment for replica in model.replicas]
    first = model.replicas[0]
    assert f"{one.url}/v2/inference/deployments/d1" == first.url
    assert ("infinity", "aicore", "default") == (first.engine, first.platform, first.resource_group)
    assert NOMIC == first.model
    assert 4 == len([path for path in one.api.seen if "configurations" in path]), "each once"
    assert "scenarioId=scenario&status=RUNNING&$top=100&$skip=0" in one.api.seen[0]
    assert 1 == len(one.api.forms)


async def test_another_configuration_is_another_model_and_its_age_is_the_deployments() -> None:
    async with running(config_names=[]) as one:
        stated = {"values": {"embedwayRevision": "2026-02"}}
        one.api.add(1, one.url, name="n", model="m", **stated)
        one.api.add(2, one.url, name="n", model="m", item={"createdAt": "2025-12-31T23:59:59.5Z"})
        (before, older) = await one.source.list()
        one.api.configurations["c3"] = {**one.api.configurations["c1"], "id": "c3"}
        one.api.deployments[0]["configurationId"] = "c3"
        (after, same) = await one.source.list()

    assert ("2026-02", None) == (before.revision, older.revision)
    assert 1767225600.0 == before.created
    assert 1767225599.5 == older.created
    assert before.identity != after.identity
    assert older.identity == same.identity != before.identity


@pytest.mark.parametrize("page_size", [30, 100, 1000])
async def test_all_pages(page_size: int) -> None:
    async with running(config_names=[]) as one:
        one.api.page_size = page_size
        for number in range(230):
            one.api.add(number, one.url, name="n", model="m", item={"configurationId": "c0"})
        assert 230 == len(await one.source.list())


async def test_a_server_that_knows_no_skip_is_read_once() -> None:
    async with running(config_names=[]) as one:
        one.api.add(1, one.url, name="n", model="m")
        one.api.deployments *= 100

        async def same(send: Any, query: dict[str, list[str]]) -> None:
            await AICoreAPI._list(one.api, send, {**query, "$skip": ["0"]})

        one.api._list = same  # type: ignore[method-assign]
        one.api.deployments.append({**one.api.deployments[0], "id": "d2"})
        assert ["d1"] == [found.deployment for found in await one.source.list()]


@pytest.mark.parametrize(
    ("options", "name", "matches"),
    [
        ({"config_names": ["nomic-*"]}, "nomic-embed", True),
        ({"config_names": ["x", "nomic-embed"]}, "nomic-embed", True),
        ({"config_names": ["nomic-?"]}, "nomic-embed", False),
        ({"config_names": ["Nomic-*"]}, "nomic-embed", False),
        ({"config_names": []}, "anything", True),
    ],
)
async def test_patterns(options: dict[str, Any], name: str, matches: bool) -> None:
    async with running(**options) as one:
        one.api.add(1, one.url, name=name, model=NOMIC)
        assert matches == bool(await one.source.list())


async def test_a_name_in_the_list_spares_the_configuration() -> None:
    async with running() as one:
        one.api.add(1, one.url, name="other", model="m", item={"configurationName": "other"})
        assert [] == await one.source.list()
    assert not [path for path in one.api.seen if "configurations" in path]


@pytest.mark.parametrize(
    ("values", "engine"),
    [
        ({"image": "x/ai-core-embed-model-serve:0.0.1"}, "infinity"),
        ({"image": "x/vllm-openai:1"}, "vllm"),
        ({"image": "x/text-embeddings-inference:1"}, "tei"),
    ],
)
async def test_the_engine_is_seen_from_the_image(values: dict[str, str], engine: str) -> None:
    async with running() as one:
        one.api.add(1, one.url, name="nomic-embed-text-1", model=NOMIC, values=values)
        (found,) = await one.source.list()
    assert engine == found.engine


async def test_what_the_models_can_do_is_said() -> None:
    async with running(capabilities=frozenset({"rerank"})) as one:
        one.api.add(1, one.url, name="nomic-embed-text-1", model=NOMIC)
        (found,) = await one.source.list()
    assert {"rerank"} == found.capabilities


async def test_a_model_that_the_platform_states() -> None:
    details = {"resources": {"backend_details": {"model": {"name": "text-embedding-3"}}}}
    async with running(config_names=[]) as one:
        one.api.add(1, one.url, name="n", model=None, item={"details": details})
        (found,) = await one.source.list()
    assert "text-embedding-3" == found.name


@pytest.mark.parametrize(
    "broken",
    [
        None,
        7,
        {"id": "d9", "status": "RUNNING"},
        {"id": "d9", "status": "RUNNING", "deploymentUrl": "http://169.254.169.254/"},
        {"id": "d9", "status": "RUNNING", "deploymentUrl": "https://h/x"},
        {"id": "d9", "status": "RUNNING", "deploymentUrl": "https://h/x", "configurationId": "c9"},
        {
            "id": "d9",
            "status": "RUNNING",
            "deploymentUrl": "https://h/x",
            "configurationId": "../c",
        },
        {"id": "d9", "status": "RUNNING", "deploymentUrl": "https://h/x", "configurationId": "c2"},
        {"id": "d9", "status": "NEW", "deploymentUrl": "https://h/x"},
    ],
)
async def test_one_broken_item_hides_nothing(broken: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with running(config_names=[]) as one:
        one.api.add(1, one.url, name="n", model=NOMIC)
        one.api.deployments.insert(0, broken)
        one.api.configurations["c2"] = {"name": "n", "parameterBindings": [None, {"key": []}]}
        for _round in range(2):
            assert ["d1"] == [found.deployment for found in await one.source.list()]
    assert len(caplog.records) <= 1


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (400, UpstreamRefused, "resource group"),
        (403, UpstreamRefused, "'default'"),
        ((200, {}, b"[]"), BadReply, "no JSON object"),
        ((200, {}, b"{}"), BadReply, "not a list"),
        ((404, {}, b"<html>"), UpstreamRefused, "resource group"),
    ],
)
async def test_a_listing_that_fails(fault: Any, kind: type[Exception], says: str) -> None:
    async with running() as one:
        one.api.faults.append(fault)
        with pytest.raises(kind, match=says) as caught:
            await one.source.list()
    assert "planted" not in str(caught.value)


async def test_a_wrong_secret() -> None:
    async with running(secret="planted-wrong") as one:
        with pytest.raises(CredentialsError, match="service key") as caught:
            await one.source.list()
    assert "planted" not in repr(caught.value) + caught.value.detail


async def test_a_token_that_was_revoked_is_renewed_once() -> None:
    async with running() as one:
        one.api.add(1, one.url, name="nomic-embed-text-1", model=NOMIC)
        await one.source.list()
        one.api.rotate()
        assert 1 == len(await one.source.list())
    assert 2 == len(one.api.forms)


async def test_from_the_list_to_vectors() -> None:
    async with running() as one:
        one.api.add(1, one.url, name="nomic-embed-text-1", model=NOMIC)
        (found,) = await one.source.list()
        endpoint = Endpoint(
            name=found.upstream,
            engine=OpenAI(model=found.model),
            platform=AICore(found.url, found.resource_group or ""),
            credentials=one.credentials,
            path="/embeddings",
        )
        request = EmbeddingRequest(found.name, ("a", "b"))
        call = endpoint.call(request)
        response = endpoint.read(await one.transport.send(call), request)
        wrong = HTTPCall("POST", call.url, {**call.headers, "AI-Resource-Group": "x"}, call.body)
        refused = await one.transport.send(wrong)
        with pytest.raises(UpstreamRefused, match="resource group"):
            endpoint.read(refused, request)

    np.testing.assert_array_equal(fake_vectors(("a", "b"), 8), response.vectors)
    assert "/v1/embeddings" == one.api.engine.seen[0].path
    assert NOMIC == one.api.engine.seen[0].body["model"]
    assert "aicore-d1" == response.served_by
