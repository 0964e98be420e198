"""A real LiteLLM proxy before a real gateway, asked with OpenAI's client."""

from __future__ import annotations

import base64
import json
import re
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openai
import pytest
import yaml

from doubles.gateway_process import running_gateway
from doubles.litellm_process import running_proxy
from doubles.openai_upstream import OpenAIUpstream
from doubles.rerank_upstream import RerankUpstream, relevance
from doubles.serving import served
from embedway_upstream.testing import fake_vectors

TEXTS = ["a text", "another text", "a third"]
PAGE = Path(__file__).parents[3] / "docs" / "litellm.md"


@dataclass(frozen=True)
class Scene:
    """The proxy at `url`, a client of it, and one of the gateway behind it."""

    url: str
    proxy: openai.OpenAI
    straight: openai.OpenAI


def _asking(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=url, api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("proxy")
    with served(OpenAIUpstream()) as embeds, served(RerankUpstream()) as reranks:
        behind = folder / "embedway.yaml"
        behind.write_text(json.dumps(_gateway(embeds, reranks)), "utf-8")
        with running_gateway("--config", str(behind)) as gateway:
            shown = PAGE.read_text("utf-8").replace("http://127.0.0.1:8080/v1", gateway.base_url)
            _, _, shown = shown.partition("## The proxy")
            (folder / "embedway_provider.py").write_text(_block("python", shown), "utf-8")
            config = folder / "litellm.yaml"
            config.write_text(json.dumps(_proxy(_block("text", shown), gateway.base_url)), "utf-8")
            with (
                running_proxy(config) as url,
                _asking(url) as proxy,
                _asking(gateway.base_url) as straight,
            ):
                yield Scene(url, proxy, straight)


def _gateway(embeds: str, reranks: str) -> object:
    up = {"name": "up", "engine": "openai", "url": embeds, "model": "m"}
    ranks = {"name": "ranks", "engine": "vllm", "url": reranks}
    return {
        "models": [
            {"name": "minilm", "dimensions": 8, "prompts": {"query": "Q: "}, "upstreams": [up]},
            {"name": "ranker", "capabilities": ["rerank"], "upstreams": [ranks]},
        ]
    }


def _block(language: str, page: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def _proxy(shown: str, gateway: str) -> object:
    """The page's configuration, one more model, and the setting that drops parameters."""
    config = yaml.safe_load(shown)
    unknown = {"model": "embedway/nothing", "api_base": gateway}
    config["model_list"].append({"model_name": "unknown", "litellm_params": unknown})
    base, _, _ = gateway.rpartition("/v1")
    direct = {"model": "embedway/minilm", "api_base": base, "engine": "openai"}
    direct |= {"path": "/v1/embeddings", "insecure": False}
    config["model_list"].append(
        {"model_name": "direct", "litellm_params": direct, "model_info": {"mode": "embedding"}}
    )
    config["litellm_settings"]["drop_params"] = True
    config["router_settings"] = {"num_retries": 0}
    return config


def _vectors(client: openai.OpenAI, model: str, **options: object) -> np.ndarray:
    answer = client.embeddings.create(model=model, input=TEXTS, **options)
    return np.float32([row.embedding for row in answer.data])


@pytest.mark.parametrize("encoding", [{}, {"encoding_format": "float"}])
def test_vectors_are_those_of_the_gateway(scene, encoding):
    through = _vectors(scene.proxy, "minilm", **encoding)

    assert through.shape == (3, 8)
    assert np.array_equal(through, _vectors(scene.straight, "minilm", **encoding))


def test_base64_stays_base64(scene):
    raw = scene.proxy.embeddings.with_raw_response.create(
        model="minilm", input=TEXTS, encoding_format="base64"
    )
    rows = json.loads(raw.content)["data"]
    through = [np.frombuffer(base64.b64decode(row["embedding"]), "<f4") for row in rows]

    assert np.array_equal(through, _vectors(scene.straight, "minilm"))


def test_usage_comes_through(scene):
    through = scene.proxy.embeddings.create(model="minilm", input=TEXTS)
    straight = scene.straight.embeddings.create(model="minilm", input=TEXTS)

    assert through.usage.prompt_tokens == straight.usage.prompt_tokens > 0


def test_the_input_type_arrives(scene):
    through = _vectors(scene.proxy, "minilm", extra_body={"input_type": "query"})

    assert np.array_equal(through, fake_vectors([f"Q: {text}" for text in TEXTS], 8))


def test_an_input_type_that_is_none_is_refused(scene):
    with pytest.raises(openai.BadRequestError, match="input_type"):
        scene.proxy.embeddings.create(
            model="minilm", input=TEXTS, extra_body={"input_type": "clustering"}
        )


def test_dimensions_are_never_dropped(scene):
    with pytest.raises(openai.BadRequestError, match="dimensions"):
        scene.proxy.embeddings.create(model="minilm", input=TEXTS, dimensions=4)


def test_a_deployment_is_called_as_the_configuration_says(scene):
    assert np.array_equal(_vectors(scene.proxy, "direct"), fake_vectors(TEXTS, 8))


def test_the_proxys_own_health_check_calls_it_so_too(scene):
    root, _, _ = scene.url.rpartition("/v1")
    with urllib.request.urlopen(f"{root}/health?model=direct", timeout=60) as answer:
        said = json.loads(answer.read())

    assert said["healthy_count"] == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("path", "/../../d2/v1/embeddings"),
        ("path", None),
        ("resource_group", "another"),
        ("served_model", "another"),
        ("vector_space", "another"),
        ("accept_space_change", True),
    ],
)
def test_a_request_cannot_say_otherwise(scene, name, value):
    with pytest.raises(openai.BadRequestError, match=f"{name} is for the proxy's configuration"):
        _vectors(scene.proxy, "direct", extra_body={name: value})


def test_a_request_cannot_bring_a_deployment(scene):
    params = {"model": "embedway/minilm", "api_base": "http://127.0.0.1:9", "credentials": "aicore"}
    mine = {"model_list": [{"model_name": "direct", "litellm_params": params}], "num_retries": 0}
    with pytest.raises(openai.BadRequestError, match="model_list only"):
        _vectors(scene.proxy, "direct", extra_body={"user_config": mine})


def test_an_unknown_model_is_not_found(scene):
    with pytest.raises(openai.NotFoundError, match="nothing"):
        scene.proxy.embeddings.create(model="unknown", input=TEXTS)


def test_a_chat_is_refused(scene):
    with pytest.raises(openai.BadRequestError, match="embeds, and nothing else"):
        scene.proxy.chat.completions.create(
            model="minilm", messages=[{"role": "user", "content": "Hello"}]
        )


def test_rerank_goes_through_hosted_vllm(scene):
    asked = {"model": "ranker", "query": "q", "documents": TEXTS}
    request = urllib.request.Request(
        f"{scene.url}/rerank",
        json.dumps(asked).encode(),
        {"content-type": "application/json", "authorization": "Bearer none"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        results = json.loads(answer.read())["results"]
    best = sorted(range(3), key=lambda index: -relevance("q", TEXTS[index]))

    assert [result["index"] for result in results] == best
