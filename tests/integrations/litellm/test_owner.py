"""What a request through LiteLLM's proxy cannot say for its deployment."""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace

import litellm
import pytest

from litellm_embedway.option import FIXED

DIRECT = {"engine": "tei", "path": "/d1/v1/embeddings", "served_model": "bge", "pooling": None}
ANOTHER = {
    **dict.fromkeys(FIXED, "another"),
    "insecure": True,
    "accept_space_change": True,
    "path": "/../d2/v1/embeddings",
}


@pytest.fixture
def proxy(monkeypatch, server):
    """Its router, as the proxy's module has it: a gateway and a deployment that is called."""
    gateway = {"model": "embedway/m", "api_base": server.url, "vector_space": "space-1"}
    direct = {"model": "embedway/d", "api_base": server.url, **DIRECT}
    router = litellm.Router(
        [
            {"model_name": "gateway", "litellm_params": gateway},
            {"model_name": "direct", "litellm_params": direct},
        ],
        num_retries=0,
    )
    server.headers["x-embedway-vector-space"] = "space-1"
    monkeypatch.setitem(
        sys.modules, "litellm.proxy.proxy_server", SimpleNamespace(llm_router=router)
    )
    return router


@pytest.fixture(params=["sync", "async"])
def ask(request, proxy, finished):
    """As the proxy does: a request's body is laid over the deployment's parameters."""

    def run(model, **body):
        asked = {"model": model, "input": ["a"], "proxy_server_request": {"body": body}, **body}
        if request.param == "sync":
            return proxy.embedding(**asked)
        return asyncio.run(finished(proxy.aembedding(**asked)))

    return run


@pytest.mark.parametrize("model", ["gateway", "direct"])
def test_what_the_deployment_says_holds(ask, model):
    asked = {"input_type": "query", "encoding_format": "base64", "batch_size": 3, "user": "u"}

    assert ask(model, **asked).data


@pytest.mark.parametrize("name", sorted(FIXED))
@pytest.mark.parametrize("model", ["gateway", "direct"])
@pytest.mark.parametrize("form", ["plain", "extra_body"])
def test_a_request_cannot_say_other(server, ask, model, name, form):
    body = {name: ANOTHER[name]}
    with pytest.raises(litellm.BadRequestError, match=f"{name} is for the proxy's configuration"):
        ask(model, **(body if form == "plain" else {"extra_body": body}))

    assert server.requests == 0


@pytest.mark.parametrize(
    ("model", "name"), [("gateway", "vector_space"), ("direct", "path"), ("direct", "engine")]
)
def test_a_request_cannot_unset_it_either(server, ask, model, name):
    with pytest.raises(litellm.BadRequestError, match=f"{name} is for the proxy's configuration"):
        ask(model, **{name: None})

    assert server.requests == 0


def test_the_address_is_the_deployments_whoever_brings_a_key(server, nowhere, ask):
    for number in range(9):
        # The router adds each address to its list, and chooses among them.
        body = {"api_base": nowhere, "api_key": f"sk-{number % 2}"}
        with pytest.raises(litellm.BadRequestError, match="api_base is for the proxy's"):
            ask("gateway", **body)


def test_a_key_of_the_requests_own_goes_to_the_deployments_address(server, ask):
    for _ in range(5):  # The router adds it to its list, and may choose that.
        assert ask("gateway", api_key="sk-mine").data

    assert {headers["authorization"] for _, headers in server.asked} == {"Bearer sk-mine"}


def test_fallbacks_cannot_either(server, ask):
    other = {"model": "direct", "path": "/d2/v1/embeddings", "proxy_server_request": None}
    server.error(500)
    with pytest.raises(litellm.InternalServerError):
        ask("gateway", fallbacks=[other])

    assert [path for path, _ in server.asked] == ["/v1/embeddings"]


def test_a_router_of_the_requests_own_is_refused(server, proxy):
    params = {"model": "embedway/x", "api_base": server.url, "credentials": "aicore"}
    router = litellm.Router([{"model_name": "mine", "litellm_params": params}], num_retries=0)
    with pytest.raises(litellm.BadRequestError, match="user_config"):
        router.embedding("mine", ["a"], proxy_server_request={"body": {}})

    assert server.requests == 0


def test_a_proxy_without_a_list_of_models_takes_none(server):
    asked = {"api_base": server.url, "proxy_server_request": {"body": {}}}
    with pytest.raises(litellm.BadRequestError, match="path is for the proxy's configuration"):
        litellm.embedding("embedway/m", ["a"], path="/d2", **asked)

    assert litellm.embedding("embedway/m", ["a"], **asked).data


def test_a_call_of_the_programs_own_says_what_it_likes(server, proxy):
    """As the proxy's health checks, which have neither a request nor a deployment's id."""
    asked = {"api_base": server.url, "engine": "tei", "path": "/d3/v1/embeddings"}

    assert litellm.embedding("embedway/m", ["a"], **asked).data
