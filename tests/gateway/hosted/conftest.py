"""LiteLLM as it is, before stand-ins on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from doubles.cohere_upstream import CohereUpstream
from doubles.openai_upstream import OpenAIUpstream
from doubles.serving import served
from embedway_gateway.hosted.library import Library, open_litellm
from embedway_gateway.hosted.service import Account, Hosted, HostedRerank

KEY = "sk-planted-key-0123456789abcdef"
Make = Callable[..., Hosted]


@pytest.fixture(scope="package")
def servers() -> Iterator[tuple[OpenAIUpstream, str, CohereUpstream, str]]:
    # Before any test: its import is longer than some of their timeouts.
    open_litellm()
    openai, cohere = OpenAIUpstream(), CohereUpstream()
    with served(openai) as one, served(cohere) as two:
        yield openai, one, cohere, two


@pytest.fixture
def openai(servers: tuple[OpenAIUpstream, str, CohereUpstream, str]) -> OpenAIUpstream:
    servers[0].reset()
    return servers[0]


@pytest.fixture
def openai_url(servers: tuple[OpenAIUpstream, str, CohereUpstream, str]) -> str:
    return f"{servers[1]}/v1"


@pytest.fixture
def cohere(servers: tuple[OpenAIUpstream, str, CohereUpstream, str]) -> CohereUpstream:
    servers[2].reset()
    return servers[2]


@pytest.fixture
def cohere_url(servers: tuple[OpenAIUpstream, str, CohereUpstream, str]) -> str:
    return servers[3]


@pytest.fixture
def hosted(openai_url: str, cohere_url: str) -> Make:
    """A model of `openai/…` or `cohere/…` at its stand-in, or of any provider at `url`."""

    def make(model: str = "openai/x", url: str | None = None, timeout: float = 10.0) -> Hosted:
        place = url or (f"{cohere_url}/v2/embed" if model.startswith("cohere/") else openai_url)
        account = Account(name="up", model=model, api_key=KEY, api_base=place, timeout=timeout)
        return Hosted(account, Library("up"), dimensions=8)

    return make


@pytest.fixture
def reranker(cohere_url: str) -> HostedRerank:
    account = Account(name="up", model="cohere/rerank-v3.5", api_key=KEY, api_base=cohere_url)
    return HostedRerank(account, Library("up"))
