"""The cache through the application, as clients and operators meet it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from doubles.openai_upstream import OpenAIUpstream
from doubles.redis_server import PASSWORD, RedisServer
from doubles.serving import served
from embedway_gateway.config.schema import Config
from embedway_gateway.web.app import create_app
from embedway_upstream.testing import fake_vectors

MEMORY = {"type": "memory", "max_bytes": 1_000_000}


class Client:
    """An openai client, and what its answers' headers say."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._openai = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        self.headers: dict[str, str] = {}
        self.usage = 0

    def embed(self, *texts: str, **more: Any) -> np.ndarray:
        raw = self._openai.embeddings.with_raw_response.create(model="m", input=list(texts), **more)
        answer = raw.parse()
        self.headers, self.usage = dict(raw.headers), answer.usage.total_tokens
        return np.array([one.embedding for one in answer.data], np.float32)

    def close(self) -> None:
        self._openai.close()

    @property
    def cache(self) -> str | None:
        return self.headers.get("x-embedway-cache")

    def settle(self) -> None:
        """Until the cache is in use."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            self.embed("settling")
            if self.cache == "hit":
                return
            time.sleep(0.01)
        raise AssertionError("no hits")


@pytest.fixture
def upstream() -> OpenAIUpstream:
    return OpenAIUpstream()


@pytest.fixture
def address(upstream: OpenAIUpstream) -> Iterator[str]:
    with served(upstream) as url:
        yield url


@contextlib.contextmanager
def gateway(address: str, store: dict[str, Any] | None, **model: Any) -> Iterator[Client]:
    file: dict[str, Any] = {
        "models": [
            {
                "name": "m",
                "dimensions": 8,
                "matryoshka": [4],
                "upstreams": [{"name": "up", "engine": "openai", "url": address}],
                **model,
            }
        ],
    }
    if store is not None:
        file["cache"] = store
    with served(create_app(Config.model_validate(file))) as url:
        client = Client(url)
        yield client
        client.close()


def in_redis(server: RedisServer) -> dict[str, Any]:
    return {"type": "redis", "url": server.url, "timeout": "2s"}


def test_one_of_ten_texts_is_asked_for_and_the_header_says_so(
    upstream: OpenAIUpstream, address: str
) -> None:
    texts = [f"text {number}" for number in range(10)]
    with gateway(address, MEMORY) as client:
        client.settle()
        client.embed(*texts[:9])
        assert "miss" == client.cache

        vectors = client.embed(*texts[::-1])
        assert "partial" == client.cache
        assert ["text 9"] == upstream.seen[-1].body["input"]
        assert fake_vectors(texts[::-1], 8).tolist() == vectors.tolist()
        assert "up" == client.headers["x-embedway-upstream"]
        assert 20 == client.usage

        before = len(upstream.seen)
        assert fake_vectors(texts, 8).tolist() == client.embed(*texts).tolist()
        assert ("hit", "cache") == (client.cache, client.headers["x-embedway-upstream"])
        assert before == len(upstream.seen)


async def test_the_cache_gets_ready_before_the_first_request(address: str) -> None:
    up = {"name": "up", "engine": "openai", "url": address}
    model = {"name": "m", "dimensions": 8, "upstreams": [up]}
    app = create_app(Config.model_validate({"models": [model], "cache": MEMORY}))
    app.start()
    (served_model,) = app.models.values()
    witness = served_model.witness
    assert witness is not None
    async with asyncio.timeout(10):
        while witness._settled is None:  # noqa: ASYNC110 – seen from inside, where nothing is told
            await asyncio.sleep(0)
    await app.close()


def test_all_forms_of_an_answer_share_what_is_known(upstream: OpenAIUpstream, address: str) -> None:
    with gateway(address, MEMORY) as client:
        client.settle()
        whole = client.embed("text")
        before = len(upstream.seen)
        floats = client.embed("text", encoding_format="float")
        short = client.embed("text", dimensions=4)
        native = httpx.post(f"{client.url}/embed", json={"inputs": ["text"]})

        assert before == len(upstream.seen)
        assert whole.tolist() == floats.tolist()
        cut = whole[:, :4] / np.linalg.norm(whole[:, :4])
        assert np.allclose(cut, short, atol=1e-7)
        assert whole.tolist() == np.array(native.json(), np.float32).tolist()
        assert "hit" == native.headers["x-embedway-cache"]


@pytest.mark.parametrize(("cache", "model"), [(None, {}), (MEMORY, {"cache": False})])
def test_without_a_cache_there_is_no_header(
    upstream: OpenAIUpstream, address: str, cache: dict[str, Any] | None, model: dict[str, Any]
) -> None:
    with gateway(address, cache, **model) as client:
        client.embed("text")
        client.embed("text")

    assert client.cache is None
    assert 2 == [seen.body["input"] for seen in upstream.seen].count(["text"])


@pytest.mark.parametrize("fault", ["nan", "dimension", "dropped", "duplicated", "zeros"])
def test_nothing_of_a_bad_reply_is_kept(upstream: OpenAIUpstream, address: str, fault: str) -> None:
    with gateway(address, MEMORY) as client:
        client.settle()
        upstream.faults.extend([fault] * 20)
        with contextlib.suppress(openai.APIStatusError):
            client.embed("one", "two")
        upstream.faults.clear()
        for _ in range(200):
            with contextlib.suppress(openai.APIStatusError):
                vectors = client.embed("one", "two")
                break
            time.sleep(0.05)

        assert "hit" != client.cache
        assert fake_vectors(["one", "two"], 8).tolist() == vectors.tolist()


def test_shuffled_replies_do_not_poison_it(upstream: OpenAIUpstream, address: str) -> None:
    with gateway(address, MEMORY) as client:
        client.settle()
        upstream.faults.append("shuffled")
        client.embed("one", "two", "three")

        assert fake_vectors(["three", "one"], 8).tolist() == client.embed("three", "one").tolist()
        assert "hit" == client.cache


def test_a_model_that_was_replaced_leaves_no_vectors(
    upstream: OpenAIUpstream, address: str
) -> None:
    """It was away for a moment, which is when the gateway looks at it again."""
    with gateway(address, MEMORY) as client:
        client.settle()
        client.embed("old text")
        upstream.salt = "other "
        upstream.faults.append(503)
        for number in range(200):
            with contextlib.suppress(openai.APIStatusError):
                vectors = client.embed(f"new text {number}")
                break
            time.sleep(0.05)

        assert fake_vectors([f"other new text {number}"], 8).tolist() == vectors.tolist()
        assert fake_vectors(["other old text"], 8).tolist() == client.embed("old text").tolist()
        client.settle()
        client.embed("old text")
        assert fake_vectors(["other old text"], 8).tolist() == client.embed("old text").tolist()
        assert "hit" == client.cache


def test_redis_serves_other_gateways_and_later_ones(
    upstream: OpenAIUpstream, address: str, redis_server: RedisServer
) -> None:
    cache = in_redis(redis_server)
    with gateway(address, cache) as one, gateway(address, cache) as other:
        one.settle()
        other.settle()
        one.embed("text")
        assert fake_vectors(["text"], 8).tolist() == other.embed("text").tolist()
        assert "hit" == other.cache

    with gateway(address, cache) as later:
        later.settle()
        assert fake_vectors(["text"], 8).tolist() == later.embed("text").tolist()
        assert "hit" == later.cache
    assert 1 == [seen.body["input"] for seen in upstream.seen].count(["text"])


def test_redis_gives_nothing_of_a_model_that_was_replaced_while_no_gateway_ran(
    upstream: OpenAIUpstream, address: str, redis_server: RedisServer
) -> None:
    cache = in_redis(redis_server)
    with gateway(address, cache) as client:
        client.settle()
        client.embed("text")
    upstream.salt = "other "

    with gateway(address, cache) as client:
        for _ in range(50):
            assert fake_vectors(["other text"], 8).tolist() == client.embed("text").tolist()
        client.settle()
        assert fake_vectors(["other text"], 8).tolist() == client.embed("text").tolist()
    upstream.salt = ""

    with gateway(address, cache) as client:
        client.settle()
        assert "hit" == client.cache
        client.embed("text")
        assert "miss" == client.cache, "what the first one left is not taken up again"


@pytest.mark.parametrize("fate", ["kill", "hang"])
def test_a_redis_that_fails_is_no_error(
    address: str,
    redis_server: RedisServer,
    fate: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    with gateway(address, {**in_redis(redis_server), "timeout": "50ms"}) as client:
        client.settle()
        getattr(redis_server, fate)()
        begun = time.monotonic()
        try:
            for _ in range(20):
                vectors = client.embed("settling", "text")
                assert fake_vectors(["settling", "text"], 8).tolist() == vectors.tolist()
            taken = time.monotonic() - begun
            shown = [httpx.get(f"{client.url}{path}").text for path in ("/readyz", "/metrics")]
        finally:
            if fate == "hang":
                redis_server.wake()
            else:
                redis_server.start()

    assert taken < 2
    assert "embedway_cache_errors_total" in shown[1]
    assert "go without it" in caplog.text
    assert PASSWORD not in "\n".join([*shown, caplog.text, *capfd.readouterr()])


def test_metrics_tell_texts_from_the_cache_apart(address: str) -> None:
    with gateway(address, MEMORY) as client:
        client.settle()
        client.embed("one two", "three")
        client.embed("one two", "three", "four five six")
        shown = httpx.get(f"{client.url}/metrics").text

    values = dict(line.rsplit(" ", 1) for line in shown.splitlines() if line[:1] != "#")
    assert "3.0" == values['embedway_cache_texts_total{model="m",result="hit"}']
    assert "3.0" == values['embedway_texts_total{model="m",upstream="cache"}']
    assert "4.0" == values['embedway_tokens_total{model="m",upstream="cache"}']
    assert "4.0" == values["embedway_cache_entries"]
    texts = float(values['embedway_texts_total{model="m",upstream="up"}'])
    assert float(values['embedway_cache_texts_total{model="m",result="miss"}']) == texts
