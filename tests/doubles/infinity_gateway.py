"""The gateway in front of the real infinity, in this process, on a port of its own."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from doubles.infinity_process import KEY, OTHER, SERVED, InfinityProcess
from doubles.serving import served
from embedway_gateway.config.schema import Config
from embedway_gateway.web.app import Gateway, create_app
from embedway_local import DEFAULT_MODEL

LOCAL = {"name": "local", "engine": "local", "model": DEFAULT_MODEL}


@dataclass(frozen=True, slots=True)
class InfinityGateway:
    """`base_url` ends in `/v1`; a model is named for what is true of its upstreams."""

    base_url: str
    app: Gateway

    def post(self, path: str, **body: object) -> httpx.Response:
        return httpx.post(self.base_url + path, json=body, timeout=60)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.base_url.removesuffix("/v1") + path, timeout=60)

    def problem(self, model: str, upstream: str) -> str:
        """Why the upstream may not serve; empty when it may."""
        states = {state.name: state for state in self.app.models[model].upstreams}
        return states[upstream].problem(time.monotonic())

    def wait_compared(self, seconds: float = 60.0) -> None:
        """Until every upstream that must be compared was."""
        end = time.monotonic() + seconds
        spaces = [state.space for model in self.app.models.values() for state in model.upstreams]
        while any(space and "yet" in space.problem for space in spaces):
            assert time.monotonic() < end, [space and space.problem for space in spaces]
            time.sleep(0.05)


@contextlib.contextmanager
def infinity_gateway(infinity: InfinityProcess) -> Iterator[InfinityGateway]:
    plain = _upstream(infinity.plain)
    keyed = {**_upstream(infinity.keyed), "credentials": "key"}
    names = {
        "plain": [plain],
        "prefixed": [keyed],
        # It is a few times slower, and would otherwise only be asked when much is under way.
        "beside the local runtime": [LOCAL, {**plain, "weight": 100}],
        "another beside the local runtime": [LOCAL, {**keyed, "model": OTHER}],
        "of another name": [{**keyed, "model": "nope"}],
        "without its key": [_upstream(infinity.keyed)],
        "with a wrong key": [{**keyed, "credentials": "wrong"}],
        "without its prefix": [{**plain, "url": infinity.root}],
        "of other dimensions": [plain],
    }
    models = [
        {
            "name": name,
            "dimensions": 768 if name == "of other dimensions" else 384,
            "matryoshka": [128],
            "upstreams": upstreams,
        }
        for name, upstreams in names.items()
    ]
    reranker = {"name": "no reranker", "capabilities": ["rerank"], "upstreams": [plain]}
    settings = {
        "credentials": {
            "key": {"type": "bearer", "token": KEY},
            "wrong": {"type": "bearer", "token": "another-key"},
        },
        "models": [*models, reranker],
    }
    app = create_app(Config.model_validate(settings))
    with served(app) as address:
        yield InfinityGateway(f"{address}/v1", app)


def _upstream(url: str) -> dict[str, Any]:
    return {"name": "infinity", "engine": "infinity", "url": url, "model": SERVED}
