"""A gateway that asks for keys, with models to embed, to rerank and to chat behind it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import openai

from doubles.chat_upstream import ChatUpstream
from doubles.keyed import Keys
from doubles.openai_upstream import OpenAIUpstream
from doubles.rerank_upstream import RerankUpstream
from doubles.serving import served
from embedway_gateway.config.schema import Config
from embedway_gateway.metric import Metrics
from embedway_gateway.web.app import Gateway, create_app

TEXTS = ["a text to embed"]


class Team:
    """
    `keys` make them, and `secrets` are those that were made before the start; `app` is the
    application at `url`, and `metrics` what it counts.
    """

    def __init__(self, folder: Path, given: Mapping[str, Mapping[str, Any]]) -> None:
        self.keys = Keys(folder)
        self.embed = OpenAIUpstream()
        self.chat = ChatUpstream()
        self.metrics = Metrics()
        self.admin = self.keys.make("admin", admin=True)
        self.secrets = {
            name: self.keys.make(name, *facts.get("models", ()), **_limits(facts))
            for name, facts in given.items()
        }
        self.url = ""
        self.app: Gateway

    def client(self, secret: str, *, retries: int = 0) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=secret, max_retries=retries)

    def http(self, secret: str = "") -> httpx.Client:
        headers = {"authorization": f"Bearer {secret}"} if secret else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=20)

    def taken_over(self, secret: str) -> None:
        """Wait until the gateway has read that this key is good."""
        with self.http(secret) as http:
            self.wait(lambda: http.get("/v1/models").status_code == 200)

    def wait(self, holds: Any, seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end
            time.sleep(0.02)

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"embedway_{name}", labels) or 0.0


def _limits(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name != "models"}


@contextlib.contextmanager
def team(
    folder: Path, given: Mapping[str, Mapping[str, Any]] = MappingProxyType({}), **more: Any
) -> Iterator[Team]:
    """
    For as long as the block runs, with an admin's key and those `given`; `more` is of the
    configuration, `server` too.
    """
    one = Team(folder, given)
    server = {"keys": one.keys.path, **more.pop("server", {})}
    limits = more.pop("model_limits", {})
    with (
        served(one.embed) as embed,
        served(one.chat) as chat,
        served(RerankUpstream(tei=True)) as rerank,
    ):

        def model(name: str, engine: str, url: str, **facts: Any) -> dict[str, Any]:
            upstream = {"name": f"{engine}-{name[:3]}", "engine": engine, "url": url}
            return {"name": name, "upstreams": [upstream], **facts}

        models = [
            model("org/m", "openai", embed, dimensions=8, aliases=["m"], limits=limits),
            model("other", "openai", embed, dimensions=8),
            model("llama", "vllm", chat, capabilities=["chat"]),
            model("ranker", "tei", rerank, capabilities=["rerank"]),
        ]
        config = Config.model_validate({"server": server, "models": models, **more})
        one.app = create_app(config, metrics=one.metrics)
        with served(one.app) as one.url:
            with httpx.Client(base_url=one.url) as http:
                one.wait(lambda: http.get("/readyz").status_code == 200)
            yield one
