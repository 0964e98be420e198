"""A real LiteLLM proxy before a real gateway, asked with OpenAI's client."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openai
import pytest

from doubles.gateway_process import GatewayProcess, running_gateway
from doubles.litellm_environment import litellm_python
from doubles.openai_upstream import OpenAIUpstream
from doubles.rerank_upstream import RerankUpstream, relevance
from doubles.serving import free_port, served

ROOT = Path(__file__).parents[3]
TEXTS = ["a text", "another text", "a third"]
HANDLER = "from litellm_embedway import embedway, register\n\nregister()\n"


@dataclass
class Scene:
    """The proxy at `url`, the gateway behind it, and the upstream behind that."""

    url: str
    gateway: GatewayProcess
    upstream: OpenAIUpstream

    def client(self, url: str | None = None) -> openai.OpenAI:
        return openai.OpenAI(base_url=url or self.url, api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("proxy")
    upstream = OpenAIUpstream()
    with served(upstream) as embeds, served(RerankUpstream()) as reranks:
        behind = folder / "embedway.yaml"
        behind.write_text(json.dumps(_gateway(embeds, reranks)), "utf-8")
        with running_gateway("--config", str(behind)) as gateway:
            (folder / "embedway_provider.py").write_text(HANDLER, "utf-8")
            (folder / "unregistered.py").write_text(HANDLER.split("\n", 1)[0], "utf-8")
            config = folder / "litellm.yaml"
            config.write_text(json.dumps(_proxy(gateway.base_url)), "utf-8")
            with _running(config) as url:
                yield Scene(url, gateway, upstream)


def _gateway(embeds: str, reranks: str) -> object:
    up = {"name": "up", "engine": "openai", "url": embeds, "model": "m"}
    ranks = {"name": "ranks", "engine": "vllm", "url": reranks}
    return {
        "models": [
            {"name": "m", "dimensions": 8, "upstreams": [up]},
            {"name": "ranker", "capabilities": ["rerank"], "upstreams": [ranks]},
        ]
    }


def _proxy(gateway: str) -> object:
    ours = {"model": "embedway/m", "api_base": gateway}
    unknown = {"model": "embedway/nothing", "api_base": gateway}
    ranker = {"model": "hosted_vllm/ranker", "api_base": gateway, "api_key": "none"}
    handler = {"provider": "embedway", "custom_handler": "embedway_provider.embedway"}
    return {
        "model_list": [
            {"model_name": "mine", "litellm_params": ours},
            {"model_name": "unknown", "litellm_params": unknown},
            {"model_name": "ranks", "litellm_params": ranker},
        ],
        # The setting that drops parameters is on: none of ours may be lost.
        "litellm_settings": {"custom_provider_map": [handler], "drop_params": True},
        "router_settings": {"num_retries": 0},
    }


class _running:
    """The proxy's process; its address ends in `/v1`."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._log = config.with_suffix(".log")

    def __enter__(self) -> str:
        python = litellm_python()
        port = free_port()
        folders = ("gateway", "integrations", "local_runtime")
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in folders),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_TELEMETRY": "False",
        }
        # `-c`: pip made its scripts for another folder when the cache was moved.
        start = "from litellm import run_server; run_server()"
        options = ["--config", str(self._config), "--host", "127.0.0.1", "--port", str(port)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(python), "-c", start, *options],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=self._config.parent,
            )
        root = f"http://127.0.0.1:{port}"
        end = time.monotonic() + 120
        while time.monotonic() < end and self._process.poll() is None:
            try:
                urllib.request.urlopen(f"{root}/health/liveliness", timeout=5).close()
            except OSError:
                time.sleep(0.1)
            else:
                return f"{root}/v1"
        self.__exit__()
        raise AssertionError("the proxy did not start:\n" + self._log.read_text("utf-8"))

    def __exit__(self, *raised: object) -> None:
        self._process.kill()
        self._process.wait(10)


def _vectors(client: openai.OpenAI, model: str, **options: object) -> np.ndarray:
    answer = client.embeddings.create(model=model, input=TEXTS, **options)
    return np.float32([row.embedding for row in answer.data])


@pytest.mark.parametrize("encoding", [{}, {"encoding_format": "float"}])
def test_vectors_are_those_of_the_gateway(scene, encoding):
    through = _vectors(scene.client(), "mine", **encoding)

    assert through.shape == (3, 8)
    assert np.array_equal(through, _vectors(scene.client(scene.gateway.base_url), "m", **encoding))


def test_base64_stays_base64(scene):
    raw = scene.client().embeddings.with_raw_response.create(
        model="mine", input=TEXTS, encoding_format="base64"
    )
    rows = json.loads(raw.content)["data"]
    through = [np.frombuffer(base64.b64decode(row["embedding"]), "<f4") for row in rows]

    assert np.array_equal(through, _vectors(scene.client(scene.gateway.base_url), "m"))


def test_usage_comes_through(scene):
    through = scene.client().embeddings.create(model="mine", input=TEXTS)
    straight = scene.client(scene.gateway.base_url).embeddings.create(model="m", input=TEXTS)

    assert through.usage.prompt_tokens == straight.usage.prompt_tokens > 0


def test_the_input_type_arrives(scene):
    with pytest.raises(openai.BadRequestError, match="input_type"):
        scene.client().embeddings.create(
            model="mine", input=TEXTS, extra_body={"input_type": "clustering"}
        )


def test_dimensions_are_never_dropped(scene):
    with pytest.raises(openai.BadRequestError, match="dimensions"):
        scene.client().embeddings.create(model="mine", input=TEXTS, dimensions=4)


def test_an_unknown_model_is_not_found(scene):
    with pytest.raises(openai.NotFoundError, match="nothing"):
        scene.client().embeddings.create(model="unknown", input=TEXTS)


def test_a_chat_is_refused(scene):
    with pytest.raises(openai.BadRequestError, match="embeds, and nothing else"):
        scene.client().chat.completions.create(
            model="mine", messages=[{"role": "user", "content": "Hello"}]
        )


def test_rerank_goes_through_hosted_vllm(scene):
    asked = {"model": "ranks", "query": "q", "documents": TEXTS}
    request = urllib.request.Request(
        f"{scene.url}/rerank",
        json.dumps(asked).encode(),
        {"content-type": "application/json", "authorization": "Bearer none"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        results = json.loads(answer.read())["results"]
    best = sorted(range(3), key=lambda index: -relevance("q", TEXTS[index]))

    assert [result["index"] for result in results] == best
